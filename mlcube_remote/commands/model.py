# SPDX-License-Identifier: Apache-2.0
"""What goes into the command builder, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType

import attrs

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})

Argv = tuple[str, ...]
"""One command: program and arguments, unquoted."""


class PathKind(Enum):
    """What there is at a path."""

    FILE = "file"
    DIRECTORY = "directory"


KindOf = Callable[[str], PathKind | None]
"""Absolute path on the task's machine → what is there; ``None``: nothing, or unknown."""


@attrs.frozen(kw_only=True)
class Layout:
    """Absolute paths on the machine where the task runs."""

    root: str
    """The cube: where ``mlcube.yaml`` is."""
    workspace: str
    home: str
    """The user's home, for ``~``."""
    environ: Mapping[str, str] = NO_VARIABLES
    """Variables for ``$NAME`` in parameter values; ``HOME`` is :attr:`home` in any case."""


@attrs.frozen(kw_only=True)
class Options:
    """The options of ``run`` that name resources, under MLCube's names; ``None``: not given."""

    gpus: str | None = None
    """``2``, ``all``, ``device=1,3``; empty for none."""
    network: str | None = None
    memory: str | None = None
    cpu: str | None = None
    security: str | None = None
    mount: str | None = None
    """``ro`` or ``rw``, for all inputs."""


@attrs.frozen(kw_only=True)
class Copy:
    """An input to copy into a workspace that is not the cube's own, before the run."""

    source: str
    target: str
    kind: PathKind


@attrs.frozen(kw_only=True)
class Writable:
    """A directory of the host that a container may write to."""

    source: str
    target: str
    words: Argv
    """The engine's options that mount it there."""


@attrs.frozen(kw_only=True)
class ImageCommands:
    """What brings a cube's image to a platform, whichever task runs."""

    platform: str
    image: str
    """Image name, or the absolute path of the SIF file."""
    engine: Argv
    """The executable with what stands in front of it: ``("sudo", "docker")``."""
    probe: Argv
    """Exits with 0 when the image is there, and changes nothing."""
    cwd: str
    """Directory in which the commands are executed."""
    configure: tuple[Argv, ...]
    """What brings the image there; empty when it must be there already and nothing could."""
    configure_directories: tuple[str, ...] = ()
    """Directories that must exist before ``configure``."""
    source: str = ""
    """What the image is built from, whether that is there or not; nothing where it is pulled.
    Of an engine's image the recipe, absolute; of a SIF file a recipe, relative to ``cwd``, or an
    address: the image and it are the last two words of ``configure``."""
    before_each_run: bool = False
    """Whether ``configure`` comes before each run (``build_strategy: always``)."""
    warnings: tuple[str, ...] = ()
    """One line each: what the user should know, but what stops nothing."""


@attrs.frozen(kw_only=True)
class TaskCommands(ImageCommands):
    """Everything that is needed to run one task on one platform."""

    run: tuple[Argv, ...]
    """In order; the last is the container, an earlier one builds (``build_strategy: always``)."""
    launch_at: int
    """Index in ``run[-1]`` where options of the launcher may be inserted."""
    environment: Mapping[str, str] = NO_VARIABLES
    """Variables that ``run[-1]`` needs in its own environment (Singularity's and Apptainer's)."""
    writable: tuple[Writable, ...] = ()
    """What the container may write to, where it may be another user than the one who runs it."""
    outputs: tuple[tuple[str, str], ...] = ()
    """(path on the host, path in the container) of each directory that the task may write to."""
    directories: tuple[str, ...]
    """Every directory that the task mounts, and the workspace: each must exist before the run."""
    creates: tuple[str, ...]
    """The directories that must be made for that, parents included, sorted."""
    copies: tuple[Copy, ...] = ()
