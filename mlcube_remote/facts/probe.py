# SPDX-License-Identifier: Apache-2.0
"""What a host is and has, asked once per job, and whether that will do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import attrs

from mlcube_remote.commands.model import ImageCommands
from mlcube_remote.errors import HostUnfitError
from mlcube_remote.facts.engine_errors import missing_program_error
from mlcube_remote.files.rsync import check_remote_version
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.transport.base import Connection, Reply

_CLOCK_TOLERANCE = 60.0
"""Seconds."""

_ARCHITECTURES: Mapping[str, str] = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
"""``uname -m`` to the names that images carry."""


@attrs.frozen(kw_only=True)
class HostFacts:
    """What a host told of itself."""

    home: str
    root: str
    """``remote_root``, absolute."""
    user: str
    uid: str
    machine: str
    """``uname -m``."""
    root_id: str
    """The same for two hosts that share one ``remote_root``."""
    rsync: str
    """Version, or nothing where there is none."""
    kinds: Mapping[str, str]
    """Absolute path → ``f``, ``d`` or ``-``, for the paths that were asked about."""
    programs: frozenset[str] = frozenset()
    """Which of ``singularity`` and ``apptainer`` there are."""

    logout: str = ""
    """What systemd ends when the user logs out: ``all``, ``manager`` (the user's services), or
    nothing that is known of."""

    clock_ahead: float = 0.0
    """Seconds that its clock is ahead of this machine's; nothing is decided by it."""

    @property
    def architecture(self) -> str:
        """The machine in the words of container images."""
        return _ARCHITECTURES.get(self.machine, self.machine)


def records(reply: Reply) -> list[tuple[str, str]]:
    """Split an answer of the shell library into its (key, value) records."""
    parts = reply.text.split("\0")[:-1]
    return [(key, value) for key, _, value in (part.partition("=") for part in parts)]


def probe_host(
    connection: Connection, *, remote_root: str, cube_room: str, paths: Iterable[str] = ()
) -> HostFacts:
    """Prepare ``remote_root`` on the host and ask what the host is.

    Args:
        connection: The host.
        remote_root: As in the inventory.
        cube_room: Directory below it to make for the cube, or nothing.
        paths: Absolute paths of which the kind is asked.

    Raises:
        HostUnfitError: ``remote_root`` cannot be used safely.
    """
    asked = time.time()
    reply = connection.call("mlcr_probe", remote_root, cube_room, *paths)
    answered = time.time()
    if not reply.ok:
        said = reply.stderr.decode("utf-8", "replace").strip() or f"status {reply.code}"
        raise HostUnfitError(
            connection.name,
            f"remote_root cannot be used: {said.splitlines()[-1]}",
            hint=f"mend it there, or set another remote_root for {connection.name}",
        )
    told = records(reply)
    facts = dict(told)
    kinds = {value[1:]: value[:1] for key, value in told if key == "kind"}
    try:
        return HostFacts(
            home=facts["home"],
            root=facts["root"],
            user=facts["user"],
            uid=facts["uid"],
            machine=facts["machine"],
            root_id=facts["root_id"],
            rsync=facts["rsync"],
            kinds=kinds,
            programs=frozenset(value for key, value in told if key == "program"),
            logout=facts.get("logout", ""),
            clock_ahead=_outside(int(facts["now"]), asked - 1, answered),
        )
    except (KeyError, ValueError) as problem:
        raise HostUnfitError(
            connection.name, f"told something unexpected of itself ({problem})"
        ) from problem


def _outside(value: float, low: float, high: float) -> float:
    """Return how far above the range (or, negative, below it) a value lies."""
    return max(value - high, 0.0) + min(value - low, 0.0)


def clock_warning(facts: HostFacts) -> str | None:
    """Return what is to be said of a host's clock, if that is wrong by more than a minute."""
    if abs(facts.clock_ahead) <= _CLOCK_TOLERANCE:
        return None
    side = "ahead of" if facts.clock_ahead > 0 else "behind"
    return (
        f"its clock is {abs(facts.clock_ahead):.0f} s {side} this machine's: nothing here depends "
        "on that, but times in the task's output and of its files are off"
    )


def logout_warning(facts: HostFacts, needed: ImageCommands) -> str | None:
    """Return what is to be said of a host that ends a user's tasks when the user logs out."""
    if facts.logout == "all":
        return (
            "logind ends your processes there when you log out (KillUserProcesses=yes), so the "
            "task may not outlive this command; ask the host's administrator"
        )
    if facts.logout == "manager" and needed.engine[0] == "podman":
        return (
            "rootless podman ends its containers there when you are logged in nowhere any more, so "
            f"the task may not outlive this command; once: loginctl enable-linger {facts.user}"
        )
    return None


def require_rsync(connection: Connection, facts: HostFacts) -> None:
    """Refuse a host without a usable rsync; see :func:`rsync.check_remote_version`."""
    check_remote_version(connection.name, facts.rsync)


def require_program(connection: Connection, facts: HostFacts, needed: ImageCommands) -> None:
    """Refuse a host that has neither Singularity nor Apptainer, when one of them is wanted.

    Raises:
        HostUnfitError: No program that would do is there, and no other one is configured.
    """
    platform = needed.platform
    if platform in CONTAINER_ENGINES or needed.engine != (platform,) or facts.programs:
        return
    raise missing_program_error(connection.name, platform)
