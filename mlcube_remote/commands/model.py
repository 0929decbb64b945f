# SPDX-License-Identifier: Apache-2.0
"""Input and output of the command builder, as frozen values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs

from mlcube_remote.commands.scratch import ScratchCopies, ScratchTarget
from mlcube_remote.cube.host_paths import NO_VARIABLES, KindOf, Layout, PathKind
from mlcube_remote.cube.model import NOTHING
from mlcube_remote.trust.requests import NO_TRUST, Trust

Argv = tuple[str, ...]
"""One command: program and arguments, unquoted."""

ReadFile = Callable[[str], bytes | None]
"""Path of a file of the cube on the host → its content; ``None``: it is not on this machine."""


@attrs.frozen(kw_only=True)
class Options:
    """The options of ``run`` for resources, with MLCube's names; ``None``: not given."""

    gpus: str | None = None
    """``2``, ``all``, ``device=1,3``; empty: no GPU."""
    network: str | None = None
    memory: str | None = None
    cpu: str | None = None
    security: str | None = None
    mount: str | None = None
    """``ro`` or ``rw``, for all inputs."""


@attrs.frozen(kw_only=True)
class SentContext:
    """A build context beside the cube, as it is on the host after the upload."""

    path: str
    kind_of: KindOf
    """Returns what exists at an absolute path inside it."""


@attrs.frozen(kw_only=True)
class Target:
    """A platform of a host, with everything from outside the cube that commands depend on."""

    platform: str
    """One of :data:`mlcube_remote.platforms.PLATFORMS`."""
    layout: Layout
    """Where things are on the host."""
    kind_of: KindOf
    """Returns what exists at an absolute path on the host."""
    options: Options = Options()
    """The options of the command line."""
    host_settings: Mapping[str, Mapping[str, Any]] = NOTHING
    """The host's platform settings by section (``Host.settings``)."""
    user_settings: Mapping[str, Any] = NOTHING
    """The user's settings of this platform for all hosts (``~/mlcube.yaml``)."""
    programs: Collection[str] = ()
    """Which of ``singularity`` and ``apptainer`` the host has, if known.

    One replaces the other if the settings name the platform's own program.
    """
    docker_is_podman: bool = False
    """Whether the program of the platform ``docker`` is Podman."""
    has_leased_gpus: bool = False
    """Whether the GPUs in ``options`` were leased for the job."""
    sent_context: Callable[[str], SentContext | None] = lambda _: None
    """Value of ``build_context`` → that directory on the host, if it is outside the cube and is
    sent."""
    trust: Trust = NO_TRUST
    """What the cube may ask for beyond its own."""
    read: ReadFile | None = None
    """Reads the recipe of a SIF image, to find what it asks for. ``None``: no image is built."""
    scratch: ScratchTarget | None = None
    """Where tasks find copies of what they mount; ``None``: they mount it where it is."""


@attrs.frozen(kw_only=True)
class Copy:
    """An input to copy into a workspace that is not the cube's own, before the run."""

    source: str
    target: str
    kind: PathKind
    may_be_missing: bool = False
    """Whether nothing is copied if the host does not have the source."""


@attrs.frozen(kw_only=True)
class Writable:
    """A directory of the host that is mounted writable."""

    source: str
    target: str
    words: Argv
    """The engine's options for the mount."""


@attrs.frozen(kw_only=True)
class CheckedRecipe:
    """The source of an image that was found harmless; the host builds from nothing else."""

    digest: str = ""
    """SHA-256 of the definition file, in hexadecimal digits; empty if the source is none."""
    copied: tuple[str, ...] = ()
    """Paths and patterns that the build copies: links in them must stay in the cube."""


@attrs.frozen(kw_only=True)
class ImageCommands:
    """The commands that prepare a cube's image, the same for all tasks."""

    platform: str
    image: str
    """Image name, or the absolute path of the SIF file."""
    engine: Argv
    """The executable with its prefix: ``("sudo", "docker")``."""
    probe: Argv
    """Exits with 0 if the image exists, and changes nothing."""
    cwd: str
    """Working directory of the commands."""
    configure: tuple[Argv, ...]
    """Pulls or builds the image; empty if there is nothing to build a missing image from."""
    configure_directories: tuple[str, ...] = ()
    """Directories that must exist before ``configure``."""
    source: str = ""
    """The source of the image, which may be missing; empty if the image is pulled.

    For an engine, the recipe's absolute path. For a SIF file, a recipe relative to ``cwd`` or an
    address; the image and the source are the last two words of ``configure``.
    """
    context: str = ""
    """The directory of an engine's build; empty if the image is pulled."""
    builder: Argv = ()
    """Words before the command that builds a SIF file, if it runs elsewhere; they are no part of
    its recipe."""
    before_each_run: bool = False
    """Whether to run ``configure`` before each run (``build_strategy: always``)."""
    recipe: CheckedRecipe | None = None
    """What the host checks before a build; ``None``: nothing, because the cube is trusted."""
    warnings: tuple[str, ...] = ()
    """Messages for the user, one line each, that do not stop the run."""


@attrs.frozen
class LateInput:
    """An input without a type that an earlier task of the same job makes."""

    name: str
    path: str
    """Absolute path on the host."""


@attrs.frozen(kw_only=True)
class TaskCommands(ImageCommands):
    """The commands that run one task on one platform."""

    run: tuple[Argv, ...]
    """In order: a build if ``build_strategy`` is ``always``, then the container."""
    launch_at: int
    """Index in ``run[-1]`` for more options of the container."""
    environment: Mapping[str, str] = NO_VARIABLES
    """Variables of the process ``run[-1]`` (Singularity and Apptainer only)."""
    private_home: str = ""
    """Path of the task's own home in the container; empty: it has none."""
    writable: tuple[Writable, ...] = ()
    """Directories that the container may write to, perhaps as another user."""
    outputs: tuple[tuple[str, str], ...] = ()
    """(path on the host, path in the container) of each directory that the task may write to."""
    directories: tuple[str, ...]
    """The workspace and all mounted directories, which must exist before the run."""
    creates: tuple[str, ...]
    """The directories to create for that, parents included, sorted."""
    copies: tuple[Copy, ...] = ()
    scratch: ScratchCopies = ScratchCopies()
    late_inputs: tuple[LateInput, ...] = ()
    """Inputs whose type the host finds out when the task begins."""
    alternatives: Mapping[str, TaskCommands] = attrs.field(factory=dict)
    """The types of ``late_inputs``, one letter each (``f``: file, ``d``: directory) → the commands
    for these types. The fields above are those of the most likely types, except that ``outputs``,
    ``directories`` and ``creates`` have only what all alternatives have, and ``scratch`` has what
    one of them has."""
