# SPDX-License-Identifier: Apache-2.0
"""From the names of a sweep to parameters of tasks, and to keys in their settings files.

A parameter of a task is a path. What is tuned mostly stands in a YAML or JSON file that is an
input of the task: ``parameters_file.optimizer.lr`` names a key in it, and ``lr`` alone does where
just one input file has such a key at its top. Each job then gets a copy of the file with that key
changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import yaml

from mlcube_remote import yamlsource
from mlcube_remote.cube.load import with_arguments
from mlcube_remote.cube.model import IO, Cube, Parameter, ParameterType
from mlcube_remote.dispatch.placement import mirrored_path
from mlcube_remote.dispatch.sweep import Point
from mlcube_remote.errors import PlanError
from mlcube_remote.suggestions import nearest

_FORMATS = (".yaml", ".yml", ".json")

MAX_TEXT = 4 * 1024 * 1024
"""Characters that a file made for one job may have."""


@attrs.frozen(kw_only=True)
class MadeFile:
    """An input file that is made for one job."""

    task: str
    parameter: str
    name: str
    """The file's own name."""
    text: str


@attrs.frozen(kw_only=True)
class Aimed:
    """What a point means for a cube."""

    cube: Cube
    """With the point's values for parameters."""
    files: tuple[MadeFile, ...]


def aimed(cube: Cube, point: Point, tasks: Sequence[str]) -> Aimed:
    """Say what a point means for a cube.

    Args:
        cube: The cube.
        point: The point.
        tasks: The tasks that will run.

    Raises:
        PlanError: A name is no parameter of these tasks, and no key of their settings files.
    """
    every = _parameters(cube, tasks)
    names = {parameter.name for _, parameter in every}
    arguments = {name: value for name, value in point.values.items() if name in names}
    keys = {name: value for name, value in point.values.items() if name not in names}
    if point.items:
        return Aimed(cube=cube, files=_lists(cube, point, tasks))
    changed = with_arguments(cube, arguments, tasks) if arguments else cube
    return Aimed(cube=changed, files=_Settings(changed, tasks, point).changed(keys))


def _parameters(cube: Cube, tasks: Sequence[str]) -> list[tuple[str, Parameter]]:
    return [(task, parameter) for task in tasks for parameter in cube.tasks[task].parameters]


def _lists(cube: Cube, point: Point, tasks: Sequence[str]) -> tuple[MadeFile, ...]:
    """Return the shard's piece as the file that the task reads."""
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
                    hint="each host gets a file with its items, one a line",
                )
            text = "".join(f"{item}\n" for item in items)
            files.append(_made(task, name, f"{name}.txt", text))
    return tuple(files)


def _made(task: str, parameter: str, name: str, text: str) -> MadeFile:
    if len(text) > MAX_TEXT:
        raise PlanError(
            f"{task}.{parameter}: a file of {len(text):,} characters for each job; expected at "
            f"most {MAX_TEXT:,}",
            hint="name files in the list that hold many items each",
        )
    return MadeFile(task=task, parameter=parameter, name=name, text=text)


@attrs.frozen
class _Settings:
    """The settings files of some tasks."""

    cube: Cube
    tasks: Sequence[str]
    point: Point

    def changed(self, keys: Mapping[str, str]) -> tuple[MadeFile, ...]:
        """Return the files in which these keys have other values."""
        if not keys:
            return ()
        inputs = {
            (task, parameter.name): path
            for task, parameter in _parameters(self.cube, self.tasks)
            if (path := self._file(parameter)) is not None
        }
        contents = {path: _content(path) for path in dict.fromkeys(inputs.values())}
        touched: set[tuple[str, str]] = set()
        for key, value in keys.items():
            paths = self._meant(key, inputs, contents)
            for path, inner in paths.items():
                contents[path] = _with(contents[path], inner, value)
                touched |= {where for where, at in inputs.items() if at == path}
        return tuple(
            _made(*where, path.name, _text(path, contents[path]))
            for where, path in inputs.items()
            if where in touched
        )

    def _file(self, parameter: Parameter) -> Path | None:
        """Return the settings file that an input is, where it is on this machine."""
        if parameter.io is IO.OUTPUT or parameter.type is ParameterType.DIRECTORY:
            return None
        if parameter.value.startswith("local:"):
            path: Path | None = Path(parameter.value.removeprefix("local:")).expanduser()
        else:
            path = mirrored_path(parameter.value, self.cube)
        is_one = path is not None and path.suffix.lower() in _FORMATS and path.is_file()
        return path if is_one else None

    def _meant(
        self,
        name: str,
        inputs: Mapping[tuple[str, str], Path],
        contents: Mapping[Path, Mapping[str, Any]],
    ) -> dict[Path, tuple[str, ...]]:
        """Return file → key in it."""
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
                hint="write the one you mean",
            )
        parameters = [parameter.name for _, parameter in _parameters(self.cube, self.tasks)]
        keys = [f"{p}.{key}" for (_, p), path in inputs.items() for key in contents[path]]
        short = [key for content in contents.values() for key in content]
        where = self.point.given(name)
        raise _unknown(where, name, [*parameters, *keys, *short], [*parameters, *keys])


def _unknown(where: str, name: str, known: Sequence[str], shown: Sequence[str]) -> PlanError:
    meant = nearest(name, known)
    listed = list(dict.fromkeys(shown))
    more = f", … ({len(listed)} in all)" if len(listed) > 12 else ""
    return PlanError(
        f"{where}: unknown parameter '{name}'" + (f" (did you mean '{meant}'?)" if meant else ""),
        hint=f"there is: {', '.join(listed[:12]) or 'none'}{more}",
    )


def _content(path: Path) -> Mapping[str, Any]:
    """Return what a settings file holds; anything but a mapping has no keys."""
    data = yamlsource.load(path, error=PlanError).data
    return data if isinstance(data, Mapping) else {}


def _require_key(where: str, path: Path, content: Mapping[str, Any], keys: Sequence[str]) -> None:
    inner: Any = content
    for key in keys:
        if not isinstance(inner, Mapping) or key not in inner:
            here = inner if isinstance(inner, Mapping) else {}
            known = [each for each in here if isinstance(each, str)]
            meant = nearest(key, known)
            raise PlanError(
                f"{where}: {yamlsource.shown_path(path)} has no key '{key}' there"
                + (f" (did you mean '{meant}'?)" if meant else ""),
                hint=f"it has: {', '.join(known[:12])}" if known else None,
            )
        inner = inner[key]


def _with(content: Mapping[str, Any], keys: Sequence[str], value: str) -> Mapping[str, Any]:
    first, *rest = keys
    old = content[first]
    return {**content, first: _with(old, rest, value) if rest else _typed(value, old)}


def _typed(text: str, old: Any) -> Any:
    """Return the value in the type that it has in the file; YAML takes 1e-3 for text."""
    if isinstance(old, str):
        return text
    if not isinstance(old, bool):
        for number in (int, float):
            try:
                return number(text)
            except ValueError:
                continue
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _text(path: Path, content: Mapping[str, Any]) -> str:
    if path.suffix.lower() == ".json":
        return json.dumps(content, indent=2) + "\n"
    text: str = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
    return text
