# SPDX-License-Identifier: Apache-2.0
"""Resolve the names of a sweep to parameters of tasks, or to keys in their settings files.

A parameter of a task is a path. The values to tune are usually in a YAML or JSON file that is an
input of the task: ``parameters_file.optimizer.lr`` names a key of such a file, and ``lr`` does if
exactly one input file has that key at its top level. Each job gets a copy of the file with the key
changed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import yaml

from mlcube_remote import yamlsource
from mlcube_remote.cube.load import with_arguments
from mlcube_remote.cube.model import IO, Cube, Parameter, ParameterType
from mlcube_remote.errors import PlanError
from mlcube_remote.plan.placement import mirrored_path
from mlcube_remote.plan.sweep_points import SweepPoint
from mlcube_remote.plan.sweep_ranges import form_of_numbers
from mlcube_remote.plan.sweep_values import WrongValueError, as_text, replace_value
from mlcube_remote.suggestions import did_you_mean

_FORMATS = (".yaml", ".yml", ".json")

MAX_TEXT = 4 * 1024 * 1024
"""Maximum number of characters in a generated file."""


@attrs.frozen(kw_only=True)
class GeneratedFile:
    """An input file that is generated for one job."""

    task: str
    parameter: str
    name: str
    """Name of the file."""
    text: str


@attrs.frozen(kw_only=True)
class ResolvedPoint:
    """A point, resolved for a cube."""

    cube: Cube
    """The cube with the point's values of parameters."""
    files: tuple[GeneratedFile, ...]


Contents = dict[Path, Mapping[str, Any]]
"""File → its content: each settings file is read once for all points."""


def resolve_point(
    cube: Cube, point: SweepPoint, tasks: Sequence[str], read: Contents | None = None
) -> ResolvedPoint:
    """Resolve a point for a cube.

    Args:
        cube: The cube.
        point: The point.
        tasks: Names of the tasks that will run.
        read: The settings files that were read for other points; this point adds its own.
            ``None``: none was read.

    Raises:
        PlanError: A name is neither a parameter of these tasks nor a key of their settings files.
    """
    every = _parameters(cube, tasks)
    names = {parameter.name for _, parameter in every}
    arguments = {
        name: _argument(point, name, value) for name, value in point.values.items() if name in names
    }
    keys = {name: value for name, value in point.values.items() if name not in names}
    if point.items:
        return ResolvedPoint(cube=cube, files=_make_piece_files(cube, point, tasks))
    changed = with_arguments(cube, arguments, tasks) if arguments else cube
    settings = _SettingsFiles(changed, tasks, point, {} if read is None else read)
    return ResolvedPoint(cube=changed, files=settings.changed(keys))


def _argument(point: SweepPoint, name: str, value: str) -> str:
    try:
        return as_text(value)
    except WrongValueError as problem:
        raise PlanError(
            f"{point.given(name)}={value}: {problem}", hint=problem.hint(name, "")
        ) from problem


def sweepable_names(cube: Cube, tasks: Sequence[str]) -> list[str]:
    """Return the names that a sweep can have: parameters, and keys of settings files.

    A key that several files have is named with its parameter in front.

    Raises:
        PlanError: A settings file cannot be read.
    """
    settings = _SettingsFiles(cube, tasks, SweepPoint(name="", values={}), {})
    contents = settings.contents()
    keys = Counter(key for content in contents.values() for key in content)
    names = [parameter.name for _, parameter in _parameters(cube, tasks)]
    for (_, parameter), path in settings.inputs().items():
        names += [key if keys[key] == 1 else f"{parameter}.{key}" for key in contents[path]]
    return list(dict.fromkeys(names))


def _parameters(cube: Cube, tasks: Sequence[str]) -> list[tuple[str, Parameter]]:
    return [(task, parameter) for task in tasks for parameter in cube.tasks[task].parameters]


def _make_piece_files(
    cube: Cube, point: SweepPoint, tasks: Sequence[str]
) -> tuple[GeneratedFile, ...]:
    """Return the shard's piece of the list as a file for the tasks."""
    files = []
    for name, items in point.items.items():
        found = [each for each in _parameters(cube, tasks) if each[1].name == name]
        if not found:
            every = [parameter.name for _, parameter in _parameters(cube, tasks)]
            raise _unknown(f"--shard {name}", name, every, every)
        for task, parameter in found:
            if parameter.io is IO.OUTPUT or parameter.type is ParameterType.DIRECTORY:
                what = "an output" if parameter.io is IO.OUTPUT else "a directory"
                raise PlanError(
                    f"--shard {name}: {task}.{name} is {what}; expected an input that is a file",
                    hint="each host gets a file with its items, one per line",
                )
            text = "".join(f"{item}\n" for item in items)
            files.append(_generate(task, name, f"{name}.txt", text))
    return tuple(files)


def _generate(task: str, parameter: str, name: str, text: str) -> GeneratedFile:
    if len(text) > MAX_TEXT:
        raise PlanError(
            f"{task}.{parameter}: a file of {len(text):,} characters for each job; expected at "
            f"most {MAX_TEXT:,}",
            hint="list files that contain many items each",
        )
    return GeneratedFile(task=task, parameter=parameter, name=name, text=text)


@attrs.frozen
class _SettingsFiles:
    """The settings files of the tasks."""

    cube: Cube
    tasks: Sequence[str]
    point: SweepPoint
    read: Contents

    def changed(self, keys: Mapping[str, str]) -> tuple[GeneratedFile, ...]:
        """Return the files that contain these keys, with the new values."""
        if not keys:
            return ()
        inputs, contents = self.inputs(), self.contents()
        touched: set[tuple[str, str]] = set()
        for key, value in keys.items():
            paths = self._resolve(key, inputs, contents)
            for path, inner in paths.items():
                try:
                    contents[path] = replace_value(contents[path], inner, value)
                except WrongValueError as problem:
                    hints = (
                        problem.hint(key, yamlsource.shown_path(path)),
                        form_of_numbers(key, value),
                    )
                    raise PlanError(
                        f"{self.point.given(key)}={value}: {problem}",
                        hint="; ".join(filter(None, hints)),
                    ) from problem
                touched |= {where for where, at in inputs.items() if at == path}
        return tuple(
            _generate(*where, path.name, _format(path, contents[path]))
            for where, path in inputs.items()
            if where in touched
        )

    def inputs(self) -> dict[tuple[str, str], Path]:
        """Return task and parameter → settings file."""
        return {
            (task, parameter.name): path
            for task, parameter in _parameters(self.cube, self.tasks)
            if (path := self._file(parameter)) is not None
        }

    def contents(self) -> dict[Path, Mapping[str, Any]]:
        """Return the content of each settings file."""
        return {path: self._content(path) for path in dict.fromkeys(self.inputs().values())}

    def _content(self, path: Path) -> Mapping[str, Any]:
        if path not in self.read:
            self.read[path] = _load_content(path)
        return self.read[path]

    def _file(self, parameter: Parameter) -> Path | None:
        """Return the path of an input if it is a settings file on this machine."""
        if parameter.io is IO.OUTPUT or parameter.type is ParameterType.DIRECTORY:
            return None
        if parameter.value.startswith("local:"):
            path: Path | None = Path(parameter.value.removeprefix("local:")).expanduser()
        else:
            path = mirrored_path(parameter.value, self.cube)
        is_one = path is not None and path.suffix.lower() in _FORMATS and path.is_file()
        return path if is_one else None

    def _resolve(
        self,
        name: str,
        inputs: Mapping[tuple[str, str], Path],
        contents: Mapping[Path, Mapping[str, Any]],
    ) -> dict[Path, tuple[str, ...]]:
        """Return file → key path, for each file that a name refers to."""
        first, *rest = name.split(".")
        named = {path for (_, parameter), path in inputs.items() if parameter == first}
        if rest and named:
            for path in named:
                _require_key(self.point.given(name), path, contents[path], rest)
            return dict.fromkeys(named, tuple(rest))
        having = [path for path, content in contents.items() if first in content]
        if len(having) == 1:
            _require_key(self.point.given(name), having[0], contents[having[0]], [first, *rest])
            return {having[0]: (first, *rest)}
        if having:
            owners = sorted({f"{p}.{name}" for (_, p), path in inputs.items() if path in having})
            raise PlanError(
                f"{self.point.given(name)}: may be any of {', '.join(owners)}",
                hint="write one of these names",
            )
        parameters = [parameter.name for _, parameter in _parameters(self.cube, self.tasks)]
        keys = [f"{p}.{key}" for (_, p), path in inputs.items() for key in contents[path]]
        short = [key for content in contents.values() for key in content]
        where = self.point.given(name)
        raise _unknown(where, name, [*parameters, *keys, *short], [*parameters, *keys])


_MAX_LISTED = 24
"""Parameters and keys that an error lists."""


def _unknown(where: str, name: str, known: Sequence[str], shown: Sequence[str]) -> PlanError:
    listed = list(dict.fromkeys(shown))
    more = f", … ({len(listed)} in all)" if len(listed) > _MAX_LISTED else ""
    return PlanError(
        f"{where}: unknown parameter '{name}'{did_you_mean(name, known)}",
        hint=f"known: {', '.join(listed[:_MAX_LISTED]) or 'none'}{more}",
    )


def _load_content(path: Path) -> Mapping[str, Any]:
    """Return the content of a settings file; if it is not a mapping, it has no keys."""
    data = yamlsource.load(path, error=PlanError).data
    return data if isinstance(data, Mapping) else {}


def _require_key(where: str, path: Path, content: Mapping[str, Any], keys: Sequence[str]) -> None:
    inner: Any = content
    for key in keys:
        if not isinstance(inner, Mapping) or key not in inner:
            here = inner if isinstance(inner, Mapping) else {}
            known = [each for each in here if isinstance(each, str)]
            raise PlanError(
                f"{where}: {yamlsource.shown_path(path)} has no key '{key}'"
                f"{did_you_mean(key, known)}",
                hint=f"it has: {', '.join(known[:12])}" if known else None,
            )
        inner = inner[key]


def _format(path: Path, content: Mapping[str, Any]) -> str:
    if path.suffix.lower() == ".json":
        return json.dumps(content, indent=2) + "\n"
    text: str = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
    return text
