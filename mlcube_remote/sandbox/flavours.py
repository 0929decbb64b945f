# SPDX-License-Identifier: Apache-2.0
"""The kinds of hosts that a sandbox can have, as data.

A flavour says in what a host differs from the plain one. The first is what ``sandbox up`` gives;
then come the other engines, and the hosts that people really have and that tests must meet.
"""

from __future__ import annotations

from enum import Enum

import attrs

from mlcube_remote.sandbox.engine import SandboxError


class Engine(Enum):
    """Which engine a host has, and whose it is."""

    SHARED = "shared"
    """This machine's Docker, through its socket: hosts are cheap, paths mean the same on both."""
    FORBIDDEN = "forbidden"
    """This machine's Docker, but the user may not use the socket."""
    OWN = "own"
    """A Docker of its own, inside."""
    PODMAN = "podman"
    """Podman, inside, rootless."""
    APPTAINER = "apptainer"
    """Apptainer, inside, for an ordinary user."""
    NONE = "none"

    @property
    def is_inside(self) -> bool:
        """Whether the engine and its images are in the host, not on this machine."""
        return self in (Engine.OWN, Engine.PODMAN, Engine.APPTAINER)

    @property
    def store(self) -> str | None:
        """Where an engine inside stacks layers, for which not every file system will do."""
        return {Engine.OWN: "/var/lib/docker", Engine.PODMAN: "/var/lib/containers"}.get(self)

    @property
    def platform(self) -> str:
        """The platform to name in an inventory."""
        return self.value if self in (Engine.PODMAN, Engine.APPTAINER) else "docker"


@attrs.frozen(kw_only=True)
class Flavour:
    """One kind of host."""

    name: str
    engine: Engine = Engine.SHARED
    login_shell: str = "/bin/bash"
    """The user's login shell."""
    without: tuple[str, ...] = ()
    """Programs that the host lacks."""
    is_noisy: bool = False
    """Whether ``.bashrc`` prints on both streams."""
    sshd_options: tuple[str, ...] = ()
    """Lines for ``sshd_config``."""
    home_mount: str | None = None
    """Options, as of mount(8), of a file system in memory for the home; ``None``: the disk's."""


FLAVOURS = {
    flavour.name: flavour
    for flavour in (
        Flavour(name="docker"),
        Flavour(name="podman", engine=Engine.PODMAN),
        Flavour(name="apptainer", engine=Engine.APPTAINER),
        Flavour(name="nested", engine=Engine.OWN),
        Flavour(name="dash", login_shell="/bin/dash"),
        Flavour(name="fish", login_shell="/usr/bin/fish"),
        Flavour(name="tcsh", login_shell="/bin/tcsh"),
        Flavour(name="busybox", login_shell="/bin/busybox-sh"),
        Flavour(name="noisy", is_noisy=True),
        Flavour(name="no-rsync", without=("rsync",)),
        Flavour(name="no-engine", engine=Engine.NONE, without=("docker",)),
        Flavour(name="no-permission", engine=Engine.FORBIDDEN),
        Flavour(name="one-session", sshd_options=("MaxSessions 1",)),
        Flavour(name="one-startup", sshd_options=("MaxStartups 1:100:1",)),
        Flavour(name="forced-command", sshd_options=('ForceCommand echo "no"',)),
        Flavour(name="tiny-disk", home_mount="size=24m"),
        Flavour(name="few-inodes", home_mount="size=24m,nr_inodes=120"),
        Flavour(name="noexec-home", home_mount="size=64m,noexec"),
    )
}


def named(name: str) -> Flavour:
    """Return the flavour of that name.

    Raises:
        SandboxError: There is none.
    """
    try:
        return FLAVOURS[name]
    except KeyError:
        raise SandboxError(
            f"no sandbox host of kind {name!r}", hint=f"known are: {', '.join(FLAVOURS)}"
        ) from None


def listed(names: str) -> tuple[Flavour, ...]:
    """Return the flavours of *names*, which commas separate.

    Raises:
        SandboxError: There is none of such a name.
    """
    return tuple(named(name.strip()) for name in names.split(","))
