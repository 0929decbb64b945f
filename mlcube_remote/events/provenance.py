# SPDX-License-Identifier: Apache-2.0
"""What a job ran on, from and with: the values that prove later where its numbers come from.

:mod:`mlcube_remote.events.provenance_document` has the document that records them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from mlcube_remote.runs.git_state import GitState


@attrs.frozen(kw_only=True)
class Machine:
    """Hardware and kernel of a host; empty texts and ``None`` mean unknown."""

    hostname: str = ""
    machine: str = ""
    """``uname -m``."""
    os: str = ""
    """Name and version of the distribution."""
    kernel: str = ""
    cpu: str = ""
    """Model."""
    cpus: int | None = None
    """Number of logical processors that are online."""
    memory: int | None = None
    """Bytes."""
    gpus: tuple[str, ...] = ()
    """Model of each GPU."""
    gpu_driver: str = ""


@attrs.frozen(kw_only=True)
class ImageIdentity:
    """The digests of an image; empty texts mean unknown."""

    id: str = ""
    """SHA-256 of its configuration, as an engine knows it."""
    digests: tuple[str, ...] = ()
    """``REPOSITORY@sha256:…`` for each registry that it came from or went to."""
    sha256: str = ""
    """Digest of a SIF file."""
    engine_version: str = ""


@attrs.frozen
class FileStat:
    """Size and time of a file or directory that is not read."""

    size: int
    """Bytes; of a directory, those of the directory itself."""
    modified: int
    """Seconds since the epoch."""


@attrs.frozen(kw_only=True)
class Tree:
    """A file, or a directory with its files; :mod:`mlcube_remote.files.trees` reads it."""

    files: int
    """Number of files, links included."""
    size: int
    """Size of all files, in bytes."""
    sha256: str
    """Digest of the file, or of the directory."""


@attrs.frozen(kw_only=True)
class InputOrigin:
    """One input of a task."""

    task: str
    name: str
    value: str
    """As given to the task."""
    where: str
    """``workspace``, ``client`` or ``host``, as in the documentation of data; ``task``: an earlier
    task of the job makes it; ``generated``: the sweep made the file."""
    path: str
    """Absolute path: on the host if it is there only, else on this machine."""
    tree: Tree | None = None
    """Its content; ``None`` if it was not read."""
    stat: FileStat | None = None
    """What is known of data that is used in place, and too large to be read for a record."""


@attrs.frozen(kw_only=True)
class CubeOrigin:
    """The cube as it was sent."""

    tree: Tree | None = None
    git: GitState | None = None
    problem: str = ""
    """Why the tree could not be read."""


@attrs.frozen(kw_only=True)
class LogDigest:
    """One log of a task, as it was received."""

    size: int
    sha256: str
    tail: str
    """Its end."""


@attrs.frozen(kw_only=True)
class TaskOrigin:
    """The command of one task."""

    task: str
    argv: tuple[str, ...]
    alternatives: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Types of inputs that an earlier task makes → the command for them."""


@attrs.frozen(kw_only=True)
class Provenance:
    """All that is known about the origin of one attempt of a job."""

    client_time: float
    """Seconds since the epoch by this machine's clock, when the host answered."""
    host_time: int
    """The same by the host's clock."""
    machine: Machine
    command: tuple[str, ...] = ()
    """The user's command line, without secrets; empty: the run was started by a program."""
    engine: tuple[str, ...] = ()
    image: str = ""
    """Name of the image, or path of the SIF file on the host."""
    image_identity: ImageIdentity = ImageIdentity()
    devices: tuple[str, ...] = ()
    """UUIDs of the GPUs that were leased for the job."""
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    """Merged settings of the platform."""
    secrets: tuple[str, ...] = ()
    """Names of the variables that the container got; their values are nowhere."""
    cube: CubeOrigin = CubeOrigin()
    inputs: tuple[InputOrigin, ...] = ()
    tasks: tuple[TaskOrigin, ...] = ()
