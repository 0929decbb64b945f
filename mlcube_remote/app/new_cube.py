# SPDX-License-Identifier: Apache-2.0
"""``init``: write the files of a cube, from nothing or around a script or a Dockerfile."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import attrs

from mlcube_remote.errors import UsageError
from mlcube_remote.suggestions import did_you_mean

SCHEMAS = ("mlcube", "hosts")
"""The files that have a schema."""

_SCHEMA_FILE = ".mlcube-schema.json"
_IGNORED = f"# What is not sent to hosts.\n.git/\n__pycache__/\nresults/\n{_SCHEMA_FILE}\n"
_NOT_BUILT = "# What is not part of the image.\n.git\n__pycache__\nresults\nworkspace\n"

_RECIPES = {
    ".py": ("python:3.12-slim", "python"),
    ".sh": ("debian:bookworm-slim", "/bin/sh"),
}
"""Suffix of a script → image that runs it, and its interpreter."""


@attrs.frozen(kw_only=True)
class NewCube:
    """A cube whose files were written."""

    directory: Path
    task: str
    files: tuple[str, ...]
    """Paths in the directory."""


def create_cube(
    directory: Path, *, script: Path | None = None, dockerfile: Path | None = None
) -> NewCube:
    """Write the files of a cube; files that exist are never changed.

    Args:
        directory: The cube's directory; created if it does not exist.
        script: A Python or shell script in the directory that its task runs.
        dockerfile: A Dockerfile in the directory that makes its image.

    Raises:
        UsageError: A file exists already, or cannot be used or written.
    """
    if script is not None and dockerfile is not None:
        raise UsageError("--script and --dockerfile cannot be combined", hint="omit one of them")
    directory = Path(os.path.abspath(directory))
    name = _to_name(directory.name)
    if script is not None:
        task, files = _around_script(directory, name, script)
    elif dockerfile is not None:
        task, files = _around_dockerfile(directory, name, dockerfile)
    else:
        task, files = "greet", _from_nothing(name)
    files = {**files, ".mlcubeignore": _IGNORED, _SCHEMA_FILE: read_schema("mlcube")}
    _write(directory, files)
    return NewCube(directory=directory, task=task, files=tuple(files))


def read_schema(name: str) -> str:
    """Return the JSON Schema of ``mlcube.yaml`` or ``hosts.yaml``, one of :data:`SCHEMAS`."""
    return _package_file(f"schemas/{name}.json")


def _package_file(path: str) -> str:
    return resources.files("mlcube_remote").joinpath(path).read_text(encoding="utf-8")


def _from_nothing(name: str) -> dict[str, str]:
    values = {"NAME": name, "IMAGE": f"{name}:0.1"}
    return {
        "mlcube.yaml": _fill("templates/cube/mlcube.yaml", values),
        "project/Dockerfile": _package_file("templates/cube/Dockerfile"),
        "project/main.sh": _package_file("templates/cube/main.sh"),
        "workspace/name.txt": "Ada\n",
    }


def _around_script(directory: Path, name: str, script: Path) -> tuple[str, dict[str, str]]:
    inside = _inside(directory, script, "--script")
    recipe = _RECIPES.get(script.suffix)
    if recipe is None:
        raise UsageError(
            f"--script={script}: expected a file that ends with {' or '.join(_RECIPES)}",
            hint="for another language, write a Dockerfile: mlcube-remote init --dockerfile=FILE",
        )
    image, interpreter = recipe
    task = _to_name(script.stem)
    lines = [f"FROM {image}"]
    if script.suffix == ".py" and (directory / "requirements.txt").is_file():
        lines += ["COPY requirements.txt /opt/cube/"]
        lines += ["RUN pip install --no-cache-dir -r /opt/cube/requirements.txt"]
    program = json.dumps([interpreter, f"/opt/cube/{inside}"])
    lines += ["COPY . /opt/cube/", f"ENTRYPOINT {program}"]
    values = {"NAME": name, "IMAGE": f"{name}:0.1", "TASK": task, "PROGRAM": script.name}
    cube = _fill("templates/wrapped.yaml", {**values, "CONTEXT": ".", "RECIPE": "Dockerfile"})
    recipe_text = "\n".join(lines) + "\n"
    return task, {"mlcube.yaml": cube, "Dockerfile": recipe_text, **_ignore_file(directory)}


def _around_dockerfile(directory: Path, name: str, file: Path) -> tuple[str, dict[str, str]]:
    inside = _inside(directory, file, "--dockerfile")
    values = {"NAME": name, "IMAGE": f"{name}:0.1", "TASK": "run", "PROGRAM": "ENTRYPOINT"}
    folder, _, recipe = inside.rpartition("/")
    cube = _fill("templates/wrapped.yaml", {**values, "CONTEXT": folder or ".", "RECIPE": recipe})
    return "run", {"mlcube.yaml": cube, **(_ignore_file(directory) if not folder else {})}


def _ignore_file(directory: Path) -> dict[str, str]:
    """Return the file that keeps the workspace out of the image, unless the user has one."""
    return {} if (directory / ".dockerignore").exists() else {".dockerignore": _NOT_BUILT}


def _inside(directory: Path, file: Path, option: str) -> str:
    """Return the path of a file relative to the cube's directory."""
    if not file.is_file():
        around = file.parent
        known = [each.name for each in around.iterdir()] if around.is_dir() else []
        raise UsageError(f"{option}={file}: no such file{did_you_mean(file.name, known)}")
    absolute = Path(os.path.abspath(file))
    if not absolute.is_relative_to(directory):
        raise UsageError(
            f"{option}={file}: not in the cube's directory {directory}",
            hint="name the directory that contains it: mlcube-remote init DIRECTORY …",
        )
    inside = absolute.relative_to(directory).as_posix()
    if re.fullmatch(r"[A-Za-z0-9_./+-]+", inside) is None:
        raise UsageError(
            f"{option}={file}: expected a path of letters, digits and . _ + -",
            hint="rename it: the path becomes part of a Dockerfile",
        )
    return inside


def _to_name(text: str) -> str:
    """Return a name for a cube, an image or a task."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "cube"


def _fill(template: str, values: Mapping[str, str]) -> str:
    text = _package_file(template)
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _write(directory: Path, files: Mapping[str, str]) -> None:
    """Write new files, after checking that none of them exists."""
    if exists := [name for name in files if os.path.lexists(directory / name)]:
        raise UsageError(
            f"{directory}: {', '.join(exists)} {'exists' if len(exists) == 1 else 'exist'} already",
            hint="nothing was written; choose another directory, or move the file",
        )
    try:
        (directory / "workspace").mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as problem:
        raise UsageError(f"{problem.filename}: {problem.strerror}") from problem
