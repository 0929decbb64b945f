# SPDX-License-Identifier: Apache-2.0
"""Resolve interpolations and apply ``-P`` overrides, both with OmegaConf.

OmegaConf takes a tenth of a second to import. A file without interpolations and overrides is
read without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import attrs

from mlcube_remote.budgets import (
    MAX_INTERPOLATIONS,
    MAX_TEXT_CHARS,
    OverBudgetError,
    limited_work,
)
from mlcube_remote.cube.environment import VariableReader, reading_variables, typed_variables
from mlcube_remote.cube.model import NOTHING, ROOT, WORKSPACE
from mlcube_remote.errors import CubeError

if TYPE_CHECKING:
    from omegaconf import DictConfig

Locate = Callable[[tuple[str, ...]], str]

# Only the task's machine knows these two paths. While OmegaConf resolves, they are random texts
# that no file contains; afterwards they are `${runtime.…}` again.
_ROOT_MARK = f"/{token_hex(16)}"
_WORKSPACE_MARK = f"/{token_hex(16)}"


@attrs.frozen(kw_only=True)
class Resolved:
    """The data of a file without interpolations."""

    data: dict[str, Any]
    """The cube's data. Only the interpolations :data:`ROOT` and :data:`WORKSPACE` are left, and
    those of variables that the file may not read."""
    given: dict[str, Any]
    """The part of ``data`` from overrides."""
    variables: Mapping[str, str] = NOTHING
    """Variables that the file reads and may not read → position in the file."""


def resolve(
    data: Mapping[str, Any],
    overrides: Sequence[str],
    locate: Locate,
    allows_variable: Callable[[str], bool],
) -> Resolved:
    """Apply ``-P`` overrides and resolve interpolations.

    Args:
        data: The file's data.
        overrides: The text after each ``-P``: ``docker.image=NAME``.
        locate: Key path → position in the file, for messages.
        allows_variable: Returns whether the file may read an environment variable of this
            machine. A variable that ``overrides`` name may always be read.

    Raises:
        CubeError: An override is not ``key=value``, or an interpolation cannot be resolved.
    """
    data = {key: _each_text(value, str) for key, value in data.items()}
    if not overrides and not _interpolates(data):
        return Resolved(data=data, given={})
    from omegaconf import OmegaConf  # noqa: PLC0415 - 120 ms, see above

    given = _parse_overrides(overrides)
    typed = typed_variables(overrides)
    reader = VariableReader(lambda name: name in typed or allows_variable(name))
    _reject_long_texts(data, (), locate)
    try:
        with limited_work(), reading_variables(reader):
            resolved = _resolve_all(_merge(data, given, overrides, locate), locate)
    except OverBudgetError as problem:
        path = _find_interpolation(data) or ()
        raise CubeError(
            f"{locate(path)}: {'.'.join(path) or '-P'}: the interpolations of this file need "
            f"{problem}",
            hint="each use of a value counts, so a chain of values that use others twice is long",
        ) from problem
    # OmegaConf 2.1, which the reference implementation requires, has no check for these.
    if (missing := _missing(resolved)) is not None:
        raise CubeError(
            f"{locate(missing)}: {'.'.join(missing)}: expected a value, got ???",
            hint=f"add -P {'.'.join(missing)}=VALUE",
        )
    for name in ("runtime", "workspace"):
        if name not in data:
            del resolved[name]
    full = {str(key): _each_text(value, _restore) for key, value in resolved.items()}
    return Resolved(
        data=full,
        given=_select(full, OmegaConf.to_container(given)),
        variables={name: locate(_find_interpolation(data, name) or ()) for name in reader.asked},
    )


def _merge(
    data: Mapping[str, Any], given: DictConfig, overrides: Sequence[str], locate: Locate
) -> DictConfig:
    """Return the file's data with the overrides and MLCube's own variables."""
    from omegaconf import DictConfig, OmegaConf  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    written = {key: _each_text(value, _modernise) for key, value in data.items()}
    for key, value in written.items():
        try:
            OmegaConf.create({key: value})
        except OmegaConfBaseException as error:
            path = _path_of(error) or (key,)
            raise CubeError(f"{locate(path)}: {'.'.join(path)}: {_first_line(error)}") from error
    try:
        merged = OmegaConf.merge(OmegaConf.create(written), given)
    except OmegaConfBaseException as error:
        raise CubeError(f"-P {' '.join(overrides)}: {_first_line(error)}") from error
    assert isinstance(merged, DictConfig)  # noqa: S101 - for mypy: mappings merge into a mapping
    runtime = {"root": _ROOT_MARK, "workspace": _WORKSPACE_MARK}
    OmegaConf.update(merged, "runtime", runtime, merge=True, force_add=True)
    OmegaConf.update(merged, "workspace", _WORKSPACE_MARK, force_add=True)
    return merged


def _resolve_all(merged: DictConfig, locate: Locate) -> dict[Any, Any]:
    """Return the data without interpolations."""
    from omegaconf import OmegaConf  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    try:
        resolved = OmegaConf.to_container(merged, resolve=True)
    except (OmegaConfBaseException, RecursionError) as error:
        path = _path_of(error)
        raise CubeError(
            f"{locate(path)}: {'.'.join(path) or 'interpolation'}: {_first_line(error)}",
            hint="define the name in mlcube.yaml, or add -P NAME=VALUE; if it is a variable of a "
            "shell, write \\${NAME}",
        ) from error
    assert isinstance(resolved, dict)  # noqa: S101 - for mypy: a mapping gives a mapping
    return resolved


def _parse_overrides(overrides: Sequence[str]) -> DictConfig:
    from omegaconf import OmegaConf  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415
    from yaml import YAMLError  # noqa: PLC0415

    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise CubeError(
                f"-P {text}: expected KEY=VALUE with a dotted key",
                hint="for example: -P docker.image=NAME",
            )
        if "\0" in value:
            raise CubeError(f"-P {key}: the value contains a NUL character")
        try:
            OmegaConf.from_dotlist([text])
        except (YAMLError, OmegaConfBaseException) as error:
            raise CubeError(f"-P {text}: {_first_line(error)}") from error
    return OmegaConf.from_dotlist([_modernise(text) for text in overrides])


def _interpolates(value: Any) -> bool:
    match value:
        case str():
            return "${" in value or value == "???"
        case Mapping():
            return any(_interpolates(item) for item in value.values())
        case list():
            return any(_interpolates(item) for item in value)
        case _:
            return False


def _reject_long_texts(value: Any, path: tuple[str, ...], locate: Locate) -> None:
    """Refuse a text that, by its size, could become too long before its length can be checked."""
    match value:
        case str() if len(value) > MAX_TEXT_CHARS or value.count("${") > MAX_INTERPOLATIONS:
            raise CubeError(
                f"{locate(path)}: {'.'.join(path)}: expected a text of at most "
                f"{MAX_TEXT_CHARS:,} characters with at most {MAX_INTERPOLATIONS} interpolations"
            )
        case Mapping() | list():
            for key, item in _items(value):
                _reject_long_texts(item, (*path, key), locate)


def _find_interpolation(
    value: Any, part: str = "", path: tuple[str, ...] = ()
) -> tuple[str, ...] | None:
    """Return the path of the first text with an interpolation, and with ``part`` in it."""
    if isinstance(value, str):
        return path if "${" in value and part in value else None
    found = (_find_interpolation(item, part, (*path, key)) for key, item in _items(value))
    return next((each for each in found if each is not None), None)


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    """Return (key, value) of a mapping or list."""
    if isinstance(value, list):
        return ((str(index), item) for index, item in enumerate(value))
    inner = value.items() if isinstance(value, Mapping) else ()
    return ((str(key), item) for key, item in inner)


def _missing(value: Any, path: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """Return the path of a ``???``, OmegaConf's placeholder for a required value."""
    if value == "???":
        return path
    found = (_missing(item, (*path, key)) for key, item in _items(value))
    return next((each for each in found if each is not None), None)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value with all its texts changed; dates count as text, as in OmegaConf."""
    match value:
        case str():
            return change(value)
        case date():
            return change(value.isoformat())
        case Mapping():
            return {key: _each_text(item, change) for key, item in value.items()}
        case list():
            return [_each_text(item, change) for item in value]
        case _:
            return value


def _restore(text: str) -> str:
    return text.replace(_ROOT_MARK, ROOT).replace(_WORKSPACE_MARK, WORKSPACE)


def _modernise(text: str) -> str:
    """Replace ``${env:NAME}`` of older OmegaConf versions by its new form."""
    return text.replace("${env:", "${oc.env:")


def _select(full: Any, shape: Any) -> Any:
    """Return the part of ``full`` with the keys of ``shape``."""
    if not isinstance(shape, dict) or not isinstance(full, dict):
        return full
    return {key: _select(full[key], item) for key, item in shape.items() if key in full}


def _path_of(error: Exception) -> tuple[str, ...]:
    """Return the key in OmegaConf's error, as a path."""
    key = str(getattr(error, "full_key", "") or "")
    return tuple(key.split(".")) if key else ()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
