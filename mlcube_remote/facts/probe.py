# SPDX-License-Identifier: Apache-2.0
"""Ask a host once per job what it is, and check that a run can work."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

import attrs

from mlcube_remote.budgets import parse_whole
from mlcube_remote.commands.model import ImageCommands
from mlcube_remote.cube.host_paths import NO_VARIABLES
from mlcube_remote.errors import HostUnfitError
from mlcube_remote.events.provenance import FileStat, Machine
from mlcube_remote.facts.engine_errors import missing_program_error
from mlcube_remote.facts.machine import parse_machine, parse_stats
from mlcube_remote.files.rsync import check_remote_version
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.remote import status
from mlcube_remote.transport.base import Connection, Reply

_CLOCK_TOLERANCE_S = 60.0

_FIRST_CHANGING, _SEPARATOR = "\0now=", "\036"
"""What comes first of that which changes; and what a shell has instead of NUL."""

_PACKAGES: Mapping[str, str] = {"find": "findutils", "grep": "grep", "sed": "sed"}
"""Program of the shell library → its package, if that is not coreutils."""

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
"""``uname -m`` → architecture as container images name it."""


@attrs.frozen(kw_only=True)
class HostFacts:
    """Facts that a host reports about itself."""

    home: str
    root: str
    """``remote_root``, absolute."""
    user: str
    uid: str
    machine: str
    """``uname -m``."""
    root_id: str
    """Equal for two hosts that share one ``remote_root``."""
    rsync: str
    """Version; empty if rsync is missing."""
    kinds: Mapping[str, str]
    """Absolute path → ``f``, ``d`` or ``-`` (does not exist), for each path of the request."""
    programs: frozenset[str] = frozenset()
    """Installed programs among ``singularity`` and ``apptainer``."""

    docker_is_podman: bool = False
    """Whether the program of the platform ``docker`` is Podman, if a job depends on it."""

    logout: str = ""
    """What systemd ends when the user logs out: ``all`` processes, or ``manager`` (the user's
    services); empty: nothing, or unknown."""

    clock_ahead: float = 0.0
    """Seconds by which the host's clock is ahead of this machine's. For warnings only."""

    now: int = 0
    """Seconds since the epoch, by the host's clock when it answered."""

    details: Machine = Machine()
    """Its hardware and kernel, for the record of the job."""

    stats: Mapping[str, FileStat] = attrs.field(factory=dict)
    """Absolute path → size and time, for those of the request's paths that exist."""

    lasting: str = attrs.field(default="", repr=False)
    """The part of the answer that is the same in each run on the unchanged host; empty if the host
    cannot compare its mirrors."""

    @property
    def architecture(self) -> str:
        """The machine as container images name it."""
        return _ARCHITECTURES.get(self.machine, self.machine)


def probe_host(
    connection: Connection,
    *,
    remote_root: str,
    cube_room: str,
    paths: Iterable[str] = (),
    env: Mapping[str, str] = NO_VARIABLES,
) -> HostFacts:
    """Prepare ``remote_root`` on the host and ask what the host is.

    Args:
        connection: The host.
        remote_root: As in the inventory.
        cube_room: Directory to create below it for the cube; empty: none.
        paths: Absolute paths whose kind to report.
        env: Result of :func:`mlcube_remote.facts.engine_kind.docker_question`.

    Raises:
        HostUnfitError: The host lacks programs, or ``remote_root`` cannot be used safely.
    """
    asked = time.time()
    reply = connection.call("mlcr_probe_host", remote_root, cube_room, *paths, env=env)
    answered = time.time()
    if reply.code == status.LACKS_PROGRAMS:
        raise missing_tools_error(connection.name, reply.message.split())
    if not reply.ok:
        raise HostUnfitError(
            connection.name,
            f"remote_root cannot be used: {reply.message.splitlines()[-1]}",
            hint=f"fix it on the host, or set another remote_root for {connection.name}",
        )
    return parse_facts(connection.name, reply, asked, answered)


def parse_facts(host: str, reply: Reply, asked: float, answered: float) -> HostFacts:
    """Return the facts of a successful answer.

    Args:
        host: Name of the host.
        reply: The answer of ``mlcr_probe_host``.
        asked: When the host was asked, in seconds since the epoch.
        answered: When the answer had arrived.

    Raises:
        HostUnfitError: A fact is missing or invalid.
    """
    found = reply.records()
    facts = dict(found)
    kinds = {value[1:]: value[:1] for key, value in found if key == "kind"}
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
            programs=frozenset(value for key, value in found if key == "program"),
            docker_is_podman=facts.get("docker") == "podman",
            logout=facts.get("logout", ""),
            clock_ahead=_outside(parse_whole(facts["now"]), asked - 1, answered),
            now=parse_whole(facts["now"]),
            details=parse_machine(found),
            stats=parse_stats(value for key, value in found if key == "stat"),
            lasting=_lasting(reply) if "compares" in facts else "",
        )
    except (KeyError, ValueError) as problem:
        raise HostUnfitError(host, f"unexpected answer to the host probe ({problem})") from problem


def _lasting(reply: Reply) -> str:
    """Return the answer up to the time of the host, in the form that a shell can compare."""
    text, separator, _ = reply.text.partition(_FIRST_CHANGING)
    return "" if _SEPARATOR in text else (text + separator).replace("\0", _SEPARATOR)


def recall_facts(host: str, lasting: str) -> HostFacts:
    """Return the facts of an earlier answer, without those that change from run to run.

    Args:
        host: Name of the host.
        lasting: As in :class:`HostFacts`.

    Raises:
        HostUnfitError: It is none.
    """
    text = lasting.replace(_SEPARATOR, "\0") + "0\0"
    return parse_facts(host, Reply(0, text.encode("utf-8", "surrogateescape"), b""), 0.0, 0.0)


def missing_tools_error(host: str, programs: Sequence[str]) -> HostUnfitError:
    """Return the error for a host that lacks usual programs."""
    packages = sorted({_PACKAGES.get(name, "coreutils") for name in programs})
    return HostUnfitError(
        host,
        f"{', '.join(programs)}: not found; the host lacks usual programs",
        hint=f"on {host}: sudo apt-get install {' '.join(packages)} (or dnf, apk, zypper); "
        "or put their directory on the PATH of non-interactive shells",
    )


def _outside(value: float, low: float, high: float) -> float:
    """Return how far a value is above the range; negative if it is below."""
    return max(value - high, 0.0) + min(value - low, 0.0)


def clock_warning(facts: HostFacts) -> str | None:
    """Return a warning if the host's clock differs by more than a minute."""
    if abs(facts.clock_ahead) <= _CLOCK_TOLERANCE_S:
        return None
    side = "ahead of" if facts.clock_ahead > 0 else "behind"
    return (
        f"the host's clock is {abs(facts.clock_ahead):.0f} s {side} this machine's: the run works, "
        "but times in the task's output and of its files are off"
    )


def logout_warning(facts: HostFacts, needed: ImageCommands) -> str | None:
    """Return a warning if the host ends a user's tasks when the user logs out."""
    if facts.logout == "all":
        return (
            "logind on the host ends your processes when you log out (KillUserProcesses=yes), so "
            "the task may not outlive this command; ask the host's administrator"
        )
    if facts.logout == "manager" and (needed.engine[0] == "podman" or facts.docker_is_podman):
        return (
            "rootless podman ends its containers after your last logout from the host, so the task "
            f"may not outlive this command; fix it once: loginctl enable-linger {facts.user}"
        )
    return None


def require_rsync(connection: Connection, facts: HostFacts) -> None:
    """Refuse a host without a usable rsync; see :func:`rsync.check_remote_version`."""
    check_remote_version(connection.name, facts.rsync)


def require_program(connection: Connection, facts: HostFacts, needed: ImageCommands) -> None:
    """Refuse a host that has neither Singularity nor Apptainer, if the job needs one.

    Raises:
        HostUnfitError: The host has neither program, and no other one is configured.
    """
    platform = needed.platform
    if platform in CONTAINER_ENGINES or needed.engine != (platform,) or facts.programs:
        return
    raise missing_program_error(connection.name, platform)
