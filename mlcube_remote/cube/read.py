# SPDX-License-Identifier: Apache-2.0
"""Read tasks and settings from the resolved data of ``mlcube.yaml`` and check each key."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import attrs

from mlcube_remote.cube.keys import CUBE_KEYS, PARAMETER_KEYS, TASK_KEYS
from mlcube_remote.cube.model import IO, WORKSPACE, Parameter, ParameterType, Task
from mlcube_remote.cube.values import KeyPath, ValueReader, has_control
from mlcube_remote.formatting import describe_value
from mlcube_remote.platforms import MAX_GPUS, SETTINGS, check_setting, has_too_many_gpus
from mlcube_remote.suggestions import did_you_mean

SEPARATORS = ("/", "\\")
"""Last characters of a value that is a directory."""


@attrs.frozen
class Reader(ValueReader):
    """Reads the tasks and settings of one file."""

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
        if isinstance(data.get("tasks"), Mapping):
            self.require_names(data["tasks"])
        tasks = self.mapping(("tasks",), data.get("tasks"))
        if not tasks:
            self.fail(("tasks",) if "tasks" in data else (), "expected at least one task")
        return {name: self.task(name, value, given) for name, value in tasks.items()}

    def require_names(self, tasks: Mapping[Any, Any]) -> None:
        """Refuse the content of a task where names of tasks are expected."""
        for key, value in tasks.items():
            is_group = isinstance(value, Mapping) and not {"inputs", "outputs"}.isdisjoint(value)
            is_content = key in {"inputs", "outputs"} and not is_task(value)
            is_program = key == "entrypoint" and isinstance(value, (str, list))
            if (key == "parameters" and is_group) or is_content or is_program:
                self.fail(
                    ("tasks", str(key)),
                    "expected the name of a task",
                    hint=f"write a name above it: tasks: {{NAME: {{{key}: …}}}}",
                )

    def task(self, name: str, value: Any, given: Mapping[str, str]) -> Task:
        """Return one task."""
        path = ("tasks", name)
        self.name(path, name)
        body = self.mapping(path, value)
        for key in ("inputs", "outputs"):
            if key in body:
                self.fail((*path, key), "expected it in `parameters`", f"parameters: {{{key}: …}}")
        self.check_known("task", path, body, TASK_KEYS)
        groups = self.mapping((*path, "parameters"), body.get("parameters"))
        self.check_known("group", (*path, "parameters"), groups, ("inputs", "outputs"))
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
        self.check_known("parameter", path, body, PARAMETER_KEYS)
        default = self.text((*path, "default"), body.get("default"), default=name)
        actual = given.get(name, default)
        kind = self._type((*path, "type"), body.get("type"))
        if actual.startswith(("$WORKSPACE", "${WORKSPACE}")):
            problem = "$WORKSPACE is the name of a directory; paths are relative to the workspace"
            self.warn((*path, "default"), problem)
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
        self.check_known("cube", (), data, CUBE_KEYS)
        platform = self.mapping(("platform",), data.get("platform"))
        self.check_known("platform", ("platform",), platform, ("accelerator_count",))
        path, count = ("platform", "accelerator_count"), platform.get("accelerator_count")
        if count is not None and (isinstance(count, bool) or not isinstance(count, (int, str))):
            self.fail(path, f"expected a number, got {describe_value(count)}")
        if has_too_many_gpus(count):
            self.fail(path, f"expected at most {MAX_GPUS}, got more")


def is_task(value: Any) -> bool:
    """Return whether a value is the content of a task."""
    return value is None or (isinstance(value, Mapping) and not set(TASK_KEYS).isdisjoint(value))


def relative_to_workspace(value: str) -> str:
    """Return a path in the workspace as a relative path, as in MLCube."""
    if not value.startswith(WORKSPACE):
        return value
    rest = value[len(WORKSPACE) :]
    if rest in {"", "/"}:
        return f".{rest}"
    return rest.lstrip("/") if rest.startswith("/") else value
