# SPDX-License-Identifier: Apache-2.0
"""List what ``mlcube.yaml`` asks for beyond the cube's directory, workspace and container.

The same functions list requests for the user and check them before a run, so that nothing can be
used that was not shown. Paths are allowed by where they are, not refused by name: a path that the
cube chooses is inside its workspace (inputs and outputs) or its directory (inputs and recipes), or
the user must allow it. Values of the command line, of ``-P`` and of the inventory are the user's
own and are not listed.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from mlcube_remote.cube.host_paths import (
    Layout,
    contains,
    context_here,
    expand_runtime,
    host_path,
)
from mlcube_remote.cube.model import IO, Cube, Parameter, ParameterType, Task
from mlcube_remote.errors import PlanError
from mlcube_remote.trust.container_options import unlisted_options
from mlcube_remote.trust.recipe_requests import cube_recipe_requests
from mlcube_remote.trust.requests import CubeRequest, variable_request_text

# Paths that no text can contain, so that no value is inside by its spelling alone.
_ROOT = "/\0/cube"
_LAYOUT = Layout(root=_ROOT, workspace=f"{_ROOT}/workspace", home="~")

_SOURCE = re.compile(r"(?P<kind>[a-z][a-z-]*):(?P<rest>.*)", re.DOTALL)
_REGISTRIES = frozenset({"docker", "library", "oras", "shub", "http", "https"})
"""Kinds of image sources that are fetched over the network: ``docker://NAME``."""
_ENGINE_SECTIONS = frozenset({"docker", "podman"})


def cube_requests(cube: Cube) -> tuple[CubeRequest, ...]:
    """Return all requests of a cube: of each section, task and variable."""
    settings = (
        request
        for section, values in cube.settings.items()
        for request in setting_requests(cube, section, values)
    )
    recipes = (
        request
        for section in cube.settings
        if section in _ENGINE_SECTIONS
        for request in recipe_requests(cube, section)
    )
    tasks = (request for task in cube.tasks.values() for request in task_requests(cube, task))
    found = (*settings, *recipes, *cube_recipe_requests(cube), *tasks, *variable_requests(cube))
    return tuple(dict.fromkeys(found))


def setting_requests(cube: Cube, section: str, keys: Iterable[str]) -> Iterator[CubeRequest]:
    """Yield the requests in settings of one section, except the recipe of an engine's image."""
    for key in keys:
        if key in cube.overrides.get(section, {}):
            continue
        value = cube.settings.get(section, {}).get(key)
        for option in unlisted_options(section, key, value):
            yield _setting_request(cube, section, key, option)
        if key == "tar_file" and value and not _is_in_cube(str(value)):
            yield _setting_request(cube, section, key, f"the image file {value} on the host")
    if section not in _ENGINE_SECTIONS:
        yield from _sif_requests(cube, section)


def recipe_requests(cube: Cube, section: str) -> Iterator[CubeRequest]:
    """Yield the requests of a Docker or Podman section to build outside the cube."""
    values = cube.settings.get(section, {})
    if values.get("build_strategy") == "pull":
        return
    overrides = cube.overrides.get(section, {})
    context = str(values.get("build_context") or ".")
    base = posixpath.join(_ROOT, expand_runtime(context, _LAYOUT))
    if "build_context" not in overrides and not _is_in_cube(context):
        request = _setting_request(cube, section, "build_context", f"an image build from {context}")
        yield attrs.evolve(request, sends=context_here(cube, context))
    recipe = str(values.get("build_file") or "")
    if recipe and {"build_file", "build_context"}.isdisjoint(overrides):
        # A recipe in a context that is outside is part of that request.
        is_inside = contains(base, posixpath.join(base, expand_runtime(recipe, _LAYOUT)))
        if not is_inside and not _is_in_cube(recipe, base):
            yield _setting_request(cube, section, "build_file", f"an image build from {recipe}")


def task_requests(cube: Cube, task: Task) -> Iterator[CubeRequest]:
    """Yield the requests of a task's inputs and outputs, in the order of the file."""
    for parameter in task.parameters:
        if not parameter.given and (what := _parameter_request(cube, parameter)):
            yield CubeRequest(
                where=cube.where_declared(task.name, parameter),
                what=f"task {task.name}: {parameter.io.value} {parameter.name}: {what}",
                instead=f"give {parameter.name}=PATH yourself",
            )


def variable_requests(cube: Cube) -> Iterator[CubeRequest]:
    """Yield the requests to read environment variables of this machine."""
    for name, where in cube.variables.items():
        yield CubeRequest(
            where=where,
            what=variable_request_text(name),
            instead=f"pass the variable to the container with --env {name}",
        )


def _setting_request(cube: Cube, section: str, key: str, what: str) -> CubeRequest:
    return CubeRequest(
        where=cube.where(section, key),
        what=f"{section}.{key}: {what}",
        instead=f"set -P {section}.{key} or the host's {section}.{key} yourself",
    )


def _sif_requests(cube: Cube, section: str) -> Iterator[CubeRequest]:
    """Yield the requests for an image file, or for its recipe, outside the cube."""
    values, overrides = cube.settings.get(section, {}), cube.overrides.get(section, {})
    directory = str(values.get("image_dir") or "")
    base = _path(directory, _ROOT) if directory else _LAYOUT.workspace
    if directory and "image_dir" not in overrides and not _is_in_cube(directory):
        yield _setting_request(
            cube, section, "image_dir", f"image files in {directory} on the host"
        )
    image = str(values.get("image") or "")
    if image and {"image", "image_dir"}.isdisjoint(overrides):
        path = _path(image, base)
        if not contains(base, path) and not contains(_ROOT, path):
            yield _setting_request(cube, section, "image", f"the image file {image} on the host")
    source = str(values.get("build_file") or "")
    if source and "build_file" not in overrides and not _is_harmless_source(source):
        yield _setting_request(cube, section, "build_file", f"an image build from {source}")


def _is_harmless_source(source: str) -> bool:
    """Return whether an image is built from a registry or from the cube's own files."""
    address = _SOURCE.fullmatch(source)
    if address is None:
        return _is_in_cube(source)
    kind, rest = address["kind"], address["rest"]
    if rest.startswith("//"):
        return kind in _REGISTRIES
    return kind.endswith("-archive") and _is_in_cube(rest.partition(":")[0])


def _parameter_request(cube: Cube, parameter: Parameter) -> str | None:
    value = parameter.value
    if value.startswith("local:"):
        return _client_request(cube, parameter, value.removeprefix("local:"))
    is_host_path = value.startswith("remote:")
    path = _path(value.removeprefix("remote:"), _LAYOUT.workspace)
    is_output = parameter.io is IO.OUTPUT
    if is_host_path or not contains(_ROOT, path):
        return _mount_text(parameter, value.removeprefix("remote:"))
    if (is_output or parameter.opts == "rw") and not contains(_LAYOUT.workspace, path):
        return f"{value}, writable, in the cube's directory and outside its workspace"
    return None


def _mount_text(parameter: Parameter, path: str) -> str:
    writable = "read-only" if parameter.opts == "ro" else "writable"
    if parameter.type is ParameterType.FILE:
        # An engine mounts directories: the task sees all files beside it.
        return f"the directory of {path} on the host, {writable}"
    return f"{path} on the host, {writable}"


def _client_request(cube: Cube, parameter: Parameter, path: str) -> str | None:
    absolute = Path(path).expanduser().absolute().as_posix()
    allowed = [cube.workspace] if parameter.io is IO.OUTPUT else [cube.workspace, cube.root]
    if any(contains(str(directory), absolute) for directory in allowed):
        return None
    effect = "written by the task" if parameter.io is IO.OUTPUT else "sent to the host"
    return f"{path} on this machine, {effect}"


def _is_in_cube(value: str, base: str = _ROOT) -> bool:
    return contains(_ROOT, _path(value, base))


def _path(value: str, base: str) -> str:
    """Return the path that a value means on an imagined host."""
    try:
        return host_path(value, _LAYOUT, base=base)
    except PlanError:  # the home of another user; the run refuses it
        return value
