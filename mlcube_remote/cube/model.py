# SPDX-License-Identifier: Apache-2.0
"""What an ``mlcube.yaml`` says: the cube, its tasks and their parameters, as frozen values.

The vocabulary and the defaults are MLCube's: https://mlcommons.github.io/mlcube/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

NOTHING: Mapping[str, Any] = MappingProxyType({})

ROOT = "${runtime.root}"
"""Stands in values for the cube's directory on the machine where the task runs."""
WORKSPACE = "${runtime.workspace}"
"""Stands in values for the workspace on the machine where the task runs."""


class ParameterType(Enum):
    """Whether a parameter's path is a file or a directory."""

    FILE = "file"
    DIRECTORY = "directory"
    UNKNOWN = "unknown"
    """Not declared: decided by what exists at the path when the task runs."""


class IO(Enum):
    """Which way a parameter's data flows."""

    INPUT = "input"
    OUTPUT = "output"


@attrs.frozen(kw_only=True)
class Parameter:
    """One input or output of a task, with the value that this invocation gives it."""

    name: str
    io: IO
    value: str
    """Path as written: relative to the workspace, absolute, ``~/…``, ``local:…`` or ``remote:…``.

    May hold :data:`ROOT` or :data:`WORKSPACE`; a path that starts with the workspace is written
    relative to it.
    """
    type: ParameterType = ParameterType.UNKNOWN
    opts: str | None = None
    """Mount options, ``ro`` or ``rw``."""
    given: bool = False
    """Whether the value came from the command line rather than from mlcube.yaml."""


@attrs.frozen(kw_only=True)
class Task:
    """One entry of ``tasks:``. Inputs come before outputs, each in the order of the file."""

    name: str
    parameters: tuple[Parameter, ...] = ()
    entrypoint: str | None = None


@attrs.frozen(kw_only=True)
class Cube:
    """One MLCube, interpolations resolved and ``-P`` overrides applied.

    Where the file says ``${runtime.root}`` or ``${runtime.workspace}`` the values keep saying so:
    only the machine where a task runs can fill them in.
    """

    name: str
    root: Path
    """Absolute directory that holds ``mlcube.yaml`` on this machine."""
    file: Path
    """Absolute path of the ``mlcube.yaml``."""
    workspace: Path
    """Absolute path of the workspace on this machine (``root/workspace`` unless told otherwise)."""
    tasks: Mapping[str, Task]
    description: str = ""
    accelerator_count: Any = None
    """``platform.accelerator_count`` as written; ``None`` when absent."""
    settings: Mapping[str, Mapping[str, Any]]
    """Platform sections that the file (or ``-P``) has: ``docker``, ``singularity``, …"""
    overrides: Mapping[str, Mapping[str, Any]] = NOTHING
    """What of ``settings`` came by ``-P``, and is therefore the user's own word."""
    locate: Callable[[tuple[str, ...]], str] | None = attrs.field(
        default=None, eq=False, repr=False
    )
    """Key path → ``mlcube.yaml:12:3``; :meth:`where` is the way to ask."""

    def where(self, *keys: str) -> str:
        """Say where in the file (or that on the command line) a key stands, for messages."""
        if len(keys) > 1 and keys[1] in self.overrides.get(keys[0], NOTHING):
            return f"-P {'.'.join(keys)}"
        return self.locate(keys) if self.locate else self.file.name

    def where_given(self, task: str, parameter: Parameter) -> str:
        """Say where a task's parameter got its value: the file with its line, or not there."""
        if parameter.given:
            return "on the command line"
        group = "inputs" if parameter.io is IO.INPUT else "outputs"
        return self.where("tasks", task, "parameters", group, parameter.name)
