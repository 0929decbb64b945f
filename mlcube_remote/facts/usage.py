# SPDX-License-Identifier: Apache-2.0
"""Usage of hosts: load, memory, disk, and each GPU with its users."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from mlcube_remote.budgets import parse_whole
from mlcube_remote.errors import HostError, HostUnfitError
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.ask_hosts import AT_ONCE, ask_hosts
from mlcube_remote.transport.base import Connection

_TIMEOUT_S = 120.0
_KIB = 1024
_MIB = 1024 * 1024


@attrs.frozen(kw_only=True)
class GpuUsage:
    """One GPU; a field is ``None`` if the driver does not report it."""

    index: str
    uuid: str
    name: str
    memory: int | None
    """Bytes."""
    memory_used: int | None
    """Bytes."""
    busy: int | None
    """Utilisation in percent."""
    job: str | None = None
    """The job of this user that has leased it."""
    users: tuple[str, ...] = ()
    """Owners of the processes that compute on it."""
    is_ours: bool = True
    """Whether the inventory (``gpus:``) allows jobs to use it."""

    @property
    def is_free(self) -> bool:
        """Whether a job could lease it now."""
        return self.is_ours and self.job is None and not self.users


@attrs.frozen(kw_only=True)
class HostUsage:
    """Usage of one host; a field is ``None`` if the host does not report it."""

    host: str
    load: float | None = None
    """Load average of the last minute."""
    cpus: int | None = None
    memory: int | None = None
    """Bytes."""
    memory_free: int | None = None
    """Bytes available to programs."""
    disk: int | None = None
    """Size in bytes of the file system with ``remote_root``."""
    disk_free: int | None = None
    """Bytes that this user may still write to it."""
    jobs: int | None = None
    """Number of this user's running jobs."""
    slots: int = 1
    gpus: tuple[GpuUsage, ...] = ()
    error: HostError | None = None
    """Why the host gave no answer."""


def read_usage_of_all(
    hosts: Iterable[Host], connect: Callable[[Host], Connection], *, parallel: int = AT_ONCE
) -> tuple[HostUsage, ...]:
    """Ask hosts in parallel for their usage; a host that gives no answer has an ``error``."""
    return ask_hosts(
        hosts,
        connect,
        read_usage,
        lambda host, problem: HostUsage(host=host.name, slots=host.slots, error=problem),
        parallel=parallel,
    )


def read_usage(connection: Connection, host: Host) -> HostUsage:
    """Ask one host for its usage.

    Raises:
        HostUnfitError: Its tools do not work.
        HostError: The connection is lost.
    """
    reply = connection.call("mlcr_report_usage", host.remote_root, timeout=_TIMEOUT_S)
    if not reply.ok:
        raise HostUnfitError(host.name, f"its usage could not be read: {reply.message}")
    found = reply.records()
    facts = dict(found)
    leases = dict(value.split(" ", 1) for key, value in found if key == "lease" and " " in value)
    processes = [value.split(" ") for key, value in found if key == "process"]
    lines = (_gpu(value, leases, processes) for key, value in found if key == "gpu")
    gpus = (gpu and _mark_ours(gpu, host.gpus) for gpu in lines)
    return HostUsage(
        host=host.name,
        load=_number(facts.get("load", "").partition(" ")[0]),
        cpus=_whole(facts.get("cpus")),
        memory=_whole(facts.get("memory"), _KIB),
        memory_free=_whole(facts.get("available"), _KIB),
        disk=_whole(facts.get("disk"), _KIB),
        disk_free=_whole(facts.get("free"), _KIB),
        jobs=_whole(facts.get("jobs")),
        slots=host.slots,
        gpus=tuple(gpu for gpu in gpus if gpu is not None),
    )


def _gpu(line: str, leases: dict[str, str], processes: Sequence[Sequence[str]]) -> GpuUsage | None:
    """Read a line of nvidia-smi; return ``None`` if it is a message instead."""
    fields = [field.strip() for field in line.split(",")]
    if len(fields) < 6 or not fields[1].startswith("GPU-"):
        return None
    index, uuid = fields[:2]
    users = dict.fromkeys(
        (each[2] if len(each) > 2 and each[2] else "?") for each in processes if each[0] == uuid
    )
    return GpuUsage(
        index=index,
        uuid=uuid,
        # A name may contain commas; the numbers do not.
        name=", ".join(fields[2:-3]),
        memory=_whole(fields[-3], _MIB),
        memory_used=_whole(fields[-2], _MIB),
        busy=_whole(fields[-1]),
        job=leases.get(uuid),
        users=tuple(users),
    )


def _mark_ours(gpu: GpuUsage, listed: Sequence[str] | None) -> GpuUsage:
    is_ours = not listed or gpu.index in listed or gpu.uuid in listed
    return attrs.evolve(gpu, is_ours=is_ours)


def _whole(text: str | None, unit: int = 1) -> int | None:
    try:
        return None if text is None else parse_whole(text) * unit
    except ValueError:
        return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
