# SPDX-License-Identifier: Apache-2.0
"""The kinds of hosts that a sandbox can have, as data.

A flavour describes the differences to a plain host. The first flavour is the default of
``sandbox up``. Then follow other engines, and unusual hosts that users have and tests need.
"""

from __future__ import annotations

from enum import Enum

import attrs

from mlcube_remote.errors import UsageError
from mlcube_remote.suggestions import did_you_mean


class Engine(Enum):
    """The engine of a host: this machine's, or one inside the host."""

    SHARED = "shared"
    """This machine's Docker, through its socket: hosts are cheap, and share paths with it."""
    FORBIDDEN = "forbidden"
    """This machine's Docker, but the user has no permission for the socket."""
    OWN = "own"
    """Docker inside the host."""
    ROOTLESS = "rootless"
    """Rootless Docker inside the host."""
    PODMAN = "podman"
    """Rootless Podman inside the host."""
    APPTAINER = "apptainer"
    """Apptainer inside the host, for an ordinary user."""
    NONE = "none"

    @property
    def is_inside(self) -> bool:
        """Whether the engine and its images are inside the host."""
        return self in (Engine.OWN, Engine.ROOTLESS, Engine.PODMAN, Engine.APPTAINER)

    @property
    def store(self) -> str | None:
        """The directory with an inner engine's layers, which need a suitable file system."""
        stores = {
            Engine.OWN: "/var/lib/docker",
            Engine.ROOTLESS: "/var/lib/docker",
            Engine.PODMAN: "/var/lib/containers",
        }
        return stores.get(self)

    @property
    def platform(self) -> str:
        """The platform for the inventory."""
        return self.value if self in (Engine.PODMAN, Engine.APPTAINER) else "docker"


@attrs.frozen(kw_only=True)
class Flavour:
    """One kind of host."""

    name: str
    engine: Engine = Engine.SHARED
    login_shell: str = "/bin/bash"
    """The user's login shell."""
    without: tuple[str, ...] = ()
    """Programs that are missing on the host."""
    is_noisy: bool = False
    """Whether ``.bashrc`` prints on both streams."""
    sshd_options: tuple[str, ...] = ()
    """Lines for ``sshd_config``."""
    home_mount: str | None = None
    """Options of mount(8) for a home in memory; ``None``: a home on disk."""
    is_cluster: bool = False
    """Whether it is the login node of a Slurm cluster with two compute nodes."""
    has_accounting: bool = False
    """Whether the cluster has an accounting, with slurmdbd."""


FLAVOURS = {
    flavour.name: flavour
    for flavour in (
        Flavour(name="docker"),
        Flavour(name="podman", engine=Engine.PODMAN),
        Flavour(name="apptainer", engine=Engine.APPTAINER),
        Flavour(name="slurm", engine=Engine.APPTAINER, is_cluster=True),
        Flavour(
            name="slurm-accounting",
            engine=Engine.APPTAINER,
            is_cluster=True,
            has_accounting=True,
        ),
        Flavour(name="nested", engine=Engine.OWN),
        Flavour(name="rootless", engine=Engine.ROOTLESS),
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


def get_flavour(name: str) -> Flavour:
    """Return the flavour with this name.

    Raises:
        UsageError: It does not exist.
    """
    try:
        return FLAVOURS[name]
    except KeyError:
        raise UsageError(
            f"no sandbox host of kind {name!r}{did_you_mean(name, FLAVOURS)}",
            hint=f"known kinds: {', '.join(FLAVOURS)}",
        ) from None


def parse_flavours(names: str) -> tuple[Flavour, ...]:
    """Return the flavours in a comma-separated list.

    Raises:
        UsageError: A flavour does not exist.
    """
    return tuple(get_flavour(name.strip()) for name in names.split(","))
