# SPDX-License-Identifier: Apache-2.0
"""A cube as frozen values: its tasks, their parameters and the platform settings.

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
"""In values: the cube's directory on the machine where the task runs."""
WORKSPACE = "${runtime.workspace}"
"""In values: the workspace on the machine where the task runs."""


class ParameterType(Enum):
    """Whether a parameter's path is a file or a directory."""

    FILE = "file"
    DIRECTORY = "directory"
    UNKNOWN = "unknown"
    """Not declared: what exists at the path when the task runs decides."""


class IO(Enum):
    """Whether a parameter is an input or an output."""

    INPUT = "input"
    OUTPUT = "output"


@attrs.frozen(kw_only=True)
class Parameter:
    """One input or output of a task, with its value in this command."""

    name: str
    io: IO
    value: str
    """Path: relative to the workspace, absolute, ``~/…``, ``local:…`` or ``remote:…``.

    It may contain :data:`ROOT` or :data:`WORKSPACE`, but does not start with the workspace: such a
    path is relative.
    """
    type: ParameterType = ParameterType.UNKNOWN
    opts: str | None = None
    """Mount options, ``ro`` or ``rw``."""
    given: bool = False
    """Whether the value is from the command line, not from mlcube.yaml."""
    decided_at_start: bool = False
    """Whether the type is only likely, and the host finds it out when the task begins: an earlier
    task of the same job makes this input, which has no type."""


@attrs.frozen(kw_only=True)
class Task:
    """One entry of ``tasks:``. Inputs come before outputs, each in the order of the file."""

    name: str
    parameters: tuple[Parameter, ...] = ()
    entrypoint: str | None = None


@attrs.frozen(kw_only=True)
class Cube:
    """One MLCube, with interpolations resolved and ``-P`` overrides applied.

    ``${runtime.root}`` and ``${runtime.workspace}`` are not resolved: their values depend on the
    machine where a task runs.
    """

    name: str
    root: Path
    """Absolute path of the directory of ``mlcube.yaml`` on this machine."""
    file: Path
    """Absolute path of the ``mlcube.yaml``."""
    workspace: Path
    """Absolute path of the workspace on this machine; by default ``workspace`` in the root."""
    tasks: Mapping[str, Task]
    description: str = ""
    accelerator_count: Any = None
    """``platform.accelerator_count`` as in the file; ``None`` if it is not set."""
    settings: Mapping[str, Mapping[str, Any]]
    """Platform sections of the file and of ``-P``: ``docker``, ``singularity``, …"""
    overrides: Mapping[str, Mapping[str, Any]] = NOTHING
    """The part of ``settings`` from ``-P``, which the user has typed and therefore trusts."""
    variables: Mapping[str, str] = NOTHING
    """Environment variables of this machine that the file reads → position in the file."""
    locate: Callable[[tuple[str, ...]], str] | None = attrs.field(
        default=None, eq=False, repr=False
    )
    """Key path → ``mlcube.yaml:12:3``; call :meth:`where` instead."""
    warnings: tuple[str, ...] = ()
    """Keys of the file that have no effect, one line each."""

    def where(self, *keys: str) -> str:
        """Return the position of a key in the file, or its ``-P`` option, for messages."""
        if len(keys) > 1 and keys[1] in self.overrides.get(keys[0], NOTHING):
            return f"-P {'.'.join(keys)}"
        return self.locate(keys) if self.locate else self.file.name

    def where_given(self, task: str, parameter: Parameter) -> str:
        """Return the position of a parameter's value in the file, or ``on the command line``."""
        return "on the command line" if parameter.given else self.where_declared(task, parameter)

    def where_declared(self, task: str, parameter: Parameter) -> str:
        """Return the position of a task's parameter in the file."""
        group = "inputs" if parameter.io is IO.INPUT else "outputs"
        return self.where("tasks", task, "parameters", group, parameter.name)
