# SPDX-License-Identifier: Apache-2.0
"""From the resolved data of ``mlcube.yaml`` to tasks and settings, checked key by key."""

from __future__ import annotations

import difflib
import shlex
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import attrs

from mlcube_remote.cube.model import IO, WORKSPACE, Parameter, ParameterType, Task
from mlcube_remote.cube.resolve import Locate
from mlcube_remote.errors import CubeError
from mlcube_remote.platforms import SETTINGS, check_setting
from mlcube_remote.yamlsource import nearest

# Keys that do something: a misspelling of these is refused, that of a description is not.
_CUBE_KEYS = ("platform", "tasks", *SETTINGS)
_TASK_KEYS = ("parameters", "entrypoint")
_PARAMETER_KEYS = ("type", "default", "opts")
SEPARATORS = ("/", "\\")
"""What a value ends with that can only mean a directory."""


@attrs.frozen
class Reader:
    """Reads one file's data; ``locate`` gives positions for messages."""

    locate: Locate

    def fail(self, path: tuple[str, ...], problem: str, hint: str | None = None) -> NoReturn:
        """Refuse what stands at ``path``."""
        label = "".join(
            character if character.isprintable() else ascii(character)[1:-1]
            for character in ".".join(path)
        )
        raise CubeError(f"{self.locate(path)}: {f'{label}: ' if label else ''}{problem}", hint=hint)

    def refuse_misspelt(
        self, path: tuple[str, ...], keys: Iterable[Any], known: Iterable[str]
    ) -> None:
        """Refuse unknown keys that look like a known one.

        Others are left alone: MLCube ignores them, and cubes keep variables for interpolation
        and notes for other tools under names of their own.
        """
        known = tuple(known)
        for key in keys:
            if key not in known and (meant := misspelt(str(key), known)):
                self.fail((*path, str(key)), f"unknown key (did you mean '{meant}'?)")

    def mapping(self, path: tuple[str, ...], value: Any) -> Mapping[str, Any]:
        """Return a mapping with text keys; nothing at all counts as an empty one."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.fail(path, f"expected a mapping, got {_kind(value)}")
        for key in value:
            if not isinstance(key, str):
                self.fail(path, f"expected names, got {key!r}", hint=f'quote it: "{key}"')
        return value

    def text(self, path: tuple[str, ...], value: Any, default: str = "") -> str:
        """Return text; ``None`` gives the default."""
        if value is None:
            return default
        if not isinstance(value, str):
            self.fail(path, f"expected text, got {_kind(value)}", hint=f'quote it: "{value}"')
        if "\0" in value:
            self.fail(path, "the value holds a NUL character")
        return value

    def name(self, path: tuple[str, ...], value: str) -> str:
        """Return a task's or parameter's name, which becomes part of a command line."""
        if not value or value.startswith("-") or has_control(value) or "=" in value:
            self.fail(
                path,
                f"{value!r} cannot be a name: expected text that does not begin with '-' and "
                "holds neither '=' nor control characters",
            )
        return value

    def settings(self, data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the platform sections that are there."""
        found: dict[str, dict[str, Any]] = {}
        for section, known in SETTINGS.items():
            if data.get(section) is None:
                continue
            values = self.mapping((section,), data[section])
            for key, value in values.items():
                path = (section, key)
                if key == "runner":  # MLCube's system settings name the runner here
                    continue
                if key not in known:
                    meant = nearest(key, known)
                    suffix = f" (did you mean '{meant}'?)" if meant else ""
                    self.fail(path, f"unknown key{suffix}", hint=f"known: {', '.join(known)}")
                if problem := check_setting(section, key, value):
                    self.fail(path, problem)
            found[section] = {key: value for key, value in values.items() if key != "runner"}
        return found

    def tasks(self, data: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Task]:
        """Return all tasks, with the values of ``given`` where a task has such a parameter."""
        tasks = self.mapping(("tasks",), data.get("tasks"))
        if not tasks:
            self.fail(("tasks",) if "tasks" in data else (), "expected at least one task")
        return {name: self.task(name, value, given) for name, value in tasks.items()}

    def task(self, name: str, value: Any, given: Mapping[str, str]) -> Task:
        """Return one task."""
        path = ("tasks", name)
        self.name(path, name)
        body = self.mapping(path, value)
        self.refuse_misspelt(path, body, _TASK_KEYS)
        groups = self.mapping((*path, "parameters"), body.get("parameters"))
        self.refuse_misspelt((*path, "parameters"), groups, ("inputs", "outputs"))
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

    def entrypoint(self, path: tuple[str, ...], value: Any) -> str | None:
        """Return the entrypoint's command line; a blank one is none."""
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

    def parameter(
        self, path: tuple[str, ...], io: IO, value: Any, given: Mapping[str, str]
    ) -> Parameter:
        """Return one input or output; its type is inferred from a trailing slash."""
        name = self.name(path, path[-1])
        body = {"default": value} if isinstance(value, str) else self.mapping(path, value)
        self.refuse_misspelt(path, body, _PARAMETER_KEYS)
        default = self.text((*path, "default"), body.get("default"), default=name)
        actual = given.get(name, default)
        kind = self._choice((*path, "type"), body.get("type"), ParameterType.UNKNOWN.value)
        if kind == ParameterType.UNKNOWN.value and (
            default.endswith(SEPARATORS) or actual.endswith(SEPARATORS)
        ):
            kind = ParameterType.DIRECTORY.value
        opts = body.get("opts")
        if opts is not None and opts not in {"ro", "rw"}:
            self.fail((*path, "opts"), f"expected ro or rw, got {opts!r}")
        return Parameter(
            name=name,
            io=io,
            value=relative_to_workspace(actual),
            type=ParameterType(kind),
            opts=opts,
            given=name in given,
        )

    def _choice(self, path: tuple[str, ...], value: Any, default: str) -> str:
        choices = [item.value for item in ParameterType]
        if value is None:
            return default
        if value not in choices:
            self.fail(path, f"expected {' or '.join(choices[:2])}, got {value!r}")
        return str(value)

    def cube_keys(self, data: Mapping[str, Any]) -> None:
        """Refuse misspelt keys at the top and under ``platform``."""
        self.refuse_misspelt((), data, _CUBE_KEYS)
        platform = self.mapping(("platform",), data.get("platform"))
        self.refuse_misspelt(("platform",), platform, ("accelerator_count",))
        count = platform.get("accelerator_count")
        if count is not None and (isinstance(count, bool) or not isinstance(count, (int, str))):
            self.fail(("platform", "accelerator_count"), f"expected a number, got {_kind(count)}")


def misspelt(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that this one can hardly be other than a misspelling of."""
    near = difflib.get_close_matches(word, list(known), 1, 0.8)
    return near[0] if near else None


def relative_to_workspace(value: str) -> str:
    """Write a path that starts with the workspace relative to it, as MLCube means it."""
    if not value.startswith(WORKSPACE):
        return value
    rest = value[len(WORKSPACE) :]
    if rest in {"", "/"}:
        return f".{rest}"
    return rest.lstrip("/") if rest.startswith("/") else value


def has_control(text: str) -> bool:
    """Whether the text holds a control character, which no name needs."""
    return any(unicodedata.category(character) == "Cc" for character in text)


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Mapping():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "nothing"
        case _:
            return repr(value)
