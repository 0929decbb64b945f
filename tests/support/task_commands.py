# SPDX-License-Identifier: Apache-2.0
"""Commands of a cube that a test writes down as YAML."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlcube_remote.commands.build import build_all
from mlcube_remote.commands.model import Options, Target, TaskCommands
from mlcube_remote.cube.host_paths import Layout, PathKind
from mlcube_remote.cube.load import load, select_tasks
from mlcube_remote.trust.requests import FULL_TRUST, NO_TRUST

Make = Callable[..., TaskCommands]

FILE, DIRECTORY = PathKind.FILE, PathKind.DIRECTORY
WORKSPACE = "/c/workspace"
LAYOUT = Layout(root="/c", workspace=WORKSPACE, home="/home/me")
ON_HOST = {"/c": DIRECTORY}


def cube(parameters: str = "{}", docker: str = "image: repo/image:1", task: str = "") -> str:
    """Return a cube with one task."""
    return (
        f"name: x\ndocker: {{{docker}}}\n"
        f"tasks:\n  go:\n    {task or 'description: a task'}\n    parameters: {parameters}\n"
    )


def inputs(text: str) -> str:
    """Return parameters that are all inputs."""
    return f"{{inputs: {{{text}}}}}"


def outputs(text: str) -> str:
    """Return parameters that are all outputs."""
    return f"{{outputs: {{{text}}}}}"


def build_from_text(
    folder: Path,
    text: str,
    platform: str = "docker",
    *,
    there: Mapping[str, PathKind] | None = None,
    host: Mapping[str, Mapping[str, Any]] | None = None,
    user: Mapping[str, Any] | None = None,
    options: Options | None = None,
    layout: Layout = LAYOUT,
    trusted: bool = False,
    overrides: tuple[str, ...] = (),
    args: Mapping[str, str] | None = None,
    task: str | None = None,
) -> TaskCommands:
    """Write a cube's YAML into a folder and build the commands of one of its tasks."""
    (folder / "mlcube.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
    cube = load(folder, overrides=overrides, task_args=args)
    (chosen,) = select_tasks(cube, [task] if task else [])
    target = Target(
        platform=platform,
        host_settings=host or {},
        user_settings=user or {},
        layout=layout,
        options=options or Options(),
        kind_of={**ON_HOST, **(there or {})}.get,
        trust=FULL_TRUST if trusted else NO_TRUST,
    )
    (built,) = build_all(cube, [chosen], target).tasks
    return built
