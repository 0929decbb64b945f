# SPDX-License-Identifier: Apache-2.0
"""Read tasks and settings from the resolved data of ``mlcube.yaml`` and check each key."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import attrs

from mlcube_remote.budgets import MAX_TEXT_CHARS
from mlcube_remote.cube.model import IO, WORKSPACE, Parameter, ParameterType, Task
from mlcube_remote.cube.resolve import Locate
from mlcube_remote.errors import CubeError
from mlcube_remote.formatting import describe_value
from mlcube_remote.platforms import MAX_GPUS, SETTINGS, check_setting, has_too_many_gpus
from mlcube_remote.suggestions import ALMOST_EQUAL, did_you_mean

# Keys with an effect: an unknown key that looks like one of these is refused.
_CUBE_KEYS = ("platform", "tasks", *SETTINGS)
_TASK_KEYS = ("parameters", "entrypoint")
_PARAMETER_KEYS = ("type", "default", "opts")
SEPARATORS = ("/", "\\")
"""Last characters of a value that is a directory."""

MAX_UNKNOWN_KEYS = 1000
"""Number of unknown keys of one mapping; each is compared with the known ones."""

KeyPath = tuple[str, ...]


@attrs.frozen
class Reader:
    """Reads the data of one file; ``locate`` returns positions for messages."""

    locate: Locate

    def fail(self, path: KeyPath, problem: str, hint: str | None = None) -> NoReturn:
        """Raise the error for the value at ``path``."""
        label = _printable(".".join(path))
        raise CubeError(f"{self.locate(path)}: {f'{label}: ' if label else ''}{problem}", hint=hint)

    def reject_misspelled(self, path: KeyPath, keys: Iterable[Any], known: Iterable[str]) -> None:
        """Refuse an unknown key that looks like a known one.

        Others are allowed: MLCube ignores them, and cubes use them as variables and as notes.
        """
        known = tuple(known)
        unknown = [key for key in keys if key not in known]
        if len(unknown) > MAX_UNKNOWN_KEYS:
            self.fail(path, f"more than {MAX_UNKNOWN_KEYS:,} unknown keys")
        for key in unknown:
            if suggestion := did_you_mean(key, known, ALMOST_EQUAL):
                self.fail((*path, str(key)), f"unknown key{suggestion}")

    def mapping(self, path: KeyPath, value: Any) -> Mapping[str, Any]:
        """Return a mapping with text keys; ``None`` counts as an empty one."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.fail(path, f"expected a mapping, got {describe_value(value)}")
        for key in value:
            if not isinstance(key, str):
                self.fail(path, f"expected names, got {key!r}", hint=f'quote it: "{key}"')
        return value

    def text(self, path: KeyPath, value: Any, default: str = "") -> str:
        """Return text; ``None`` gives the default."""
        if value is None:
            return default
        if not isinstance(value, str):
            self.fail(
                path, f"expected text, got {describe_value(value)}", hint=f'quote it: "{value}"'
            )
        if problem := _problem_of(value):
            self.fail(path, problem)
        return value

    def name(self, path: KeyPath, value: str) -> str:
        """Return the name of a task or parameter, which is part of a command line."""
        if not value or value.startswith("-") or has_control(value) or "=" in value:
            rule = "it must not start with '-' or contain '=' or control characters"
            self.fail(path, f"{value!r} cannot be a name: {rule}")
        return value

    def settings(self, data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the platform sections in the file."""
        sections: dict[str, dict[str, Any]] = {}
        for section, known in SETTINGS.items():
            if data.get(section) is None:
                continue
            values = dict(self.mapping((section,), data[section]))
            values.pop("runner", None)  # MLCube's system settings name the runner here
            for key, value in values.items():
                path = (section, key)
                if key not in known:
                    listed = f"known: {', '.join(known)}"
                    self.fail(path, f"unknown key{did_you_mean(key, known)}", hint=listed)
                if problem := check_setting(section, key, value):
                    self.fail(path, problem)
            sections[section] = values
        return sections

    def tasks(self, data: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Task]:
        """Return all tasks; values in ``given`` replace those of parameters with that name."""
        tasks = self.mapping(("tasks",), data.get("tasks"))
        if not tasks:
            self.fail(("tasks",) if "tasks" in data else (), "expected at least one task")
        return {name: self.task(name, value, given) for name, value in tasks.items()}

    def task(self, name: str, value: Any, given: Mapping[str, str]) -> Task:
        """Return one task."""
        path = ("tasks", name)
        self.name(path, name)
        body = self.mapping(path, value)
        self.reject_misspelled(path, body, _TASK_KEYS)
        groups = self.mapping((*path, "parameters"), body.get("parameters"))
        self.reject_misspelled((*path, "parameters"), groups, ("inputs", "outputs"))
        parameters = [
            self.parameter((*path, "parameters", group, key), io, value, given)
            for group, io in (("inputs", IO.INPUT), ("outputs", IO.OUTPUT))
            for key, value in self.mapping((*path, "parameters", group), groups.get(group)).items()
        ]
        return Task(
            name=name,
            parameters=tuple(parameters),
            entrypoint=self.entrypoint((*path, "entrypoint"), body.get("entrypoint")),
        )

    def entrypoint(self, path: KeyPath, value: Any) -> str | None:
        """Return the entrypoint's command line; ``None`` if it is blank."""
        text = self.text(path, value)
        try:
            words = shlex.split(text)
        except ValueError as error:
            self.fail(path, f"not a command line: {error}: {text}")
        if not words:
            return None
        if words[0].startswith("-") or has_control(words[0]):
            self.fail(path, f"expected a program, got {words[0]!r}")
        return text

    def parameter(self, path: KeyPath, io: IO, value: Any, given: Mapping[str, str]) -> Parameter:
        """Return one input or output; a value that ends with a slash is a directory."""
        name = self.name(path, path[-1])
        body = {"default": value} if isinstance(value, str) else self.mapping(path, value)
        self.reject_misspelled(path, body, _PARAMETER_KEYS)
        default = self.text((*path, "default"), body.get("default"), default=name)
        actual = given.get(name, default)
        kind = self._type((*path, "type"), body.get("type"))
        has_slash = default.endswith(SEPARATORS) or actual.endswith(SEPARATORS)
        if kind is ParameterType.UNKNOWN and has_slash:
            kind = ParameterType.DIRECTORY
        opts = body.get("opts")
        if opts is not None and opts not in {"ro", "rw"}:
            self.fail((*path, "opts"), f"expected ro or rw, got {opts!r}")
        return Parameter(
            name=name,
            io=io,
            value=relative_to_workspace(actual),
            type=kind,
            opts=opts,
            given=name in given,
        )

    def _type(self, path: KeyPath, value: Any) -> ParameterType:
        try:
            return ParameterType.UNKNOWN if value is None else ParameterType(value)
        except ValueError:
            self.fail(path, f"expected file or directory, got {value!r}")

    def check_keys(self, data: Mapping[str, Any]) -> None:
        """Refuse misspelled keys at the top level and in ``platform``."""
        self.reject_misspelled((), data, _CUBE_KEYS)
        platform = self.mapping(("platform",), data.get("platform"))
        self.reject_misspelled(("platform",), platform, ("accelerator_count",))
        path, count = ("platform", "accelerator_count"), platform.get("accelerator_count")
        if count is not None and (isinstance(count, bool) or not isinstance(count, (int, str))):
            self.fail(path, f"expected a number, got {describe_value(count)}")
        if has_too_many_gpus(count):
            self.fail(path, f"expected at most {MAX_GPUS}, got more")


def _printable(text: str) -> str:
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def _problem_of(text: str) -> str:
    """Return why a text cannot be used; empty if it can."""
    if "\0" in text:
        return "the value contains a NUL character"
    if len(text) > MAX_TEXT_CHARS:
        return f"a text of {len(text):,} characters, expected at most {MAX_TEXT_CHARS:,}"
    return ""


def relative_to_workspace(value: str) -> str:
    """Return a path in the workspace as a relative path, as in MLCube."""
    if not value.startswith(WORKSPACE):
        return value
    rest = value[len(WORKSPACE) :]
    if rest in {"", "/"}:
        return f".{rest}"
    return rest.lstrip("/") if rest.startswith("/") else value


def has_control(text: str) -> bool:
    """Return whether a text contains a control character."""
    return any(unicodedata.category(character) == "Cc" for character in text)
