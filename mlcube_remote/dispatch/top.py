# SPDX-License-Identifier: Apache-2.0
"""How busy hosts are: load, memory, disk, and each GPU with its use and whoever has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import attrs

from mlcube_remote.dispatch.preflight import records
from mlcube_remote.errors import HostError, HostUnfitError
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.base import Connection

_PATIENCE = 120.0
_KIB = 1024
_MIB = 1024 * 1024


@attrs.frozen(kw_only=True)
class GpuUse:
    """One GPU; what its driver does not tell is ``None``."""

    index: str
    uuid: str
    name: str
    memory: int | None
    """Bytes."""
    memory_used: int | None
    """Bytes."""
    busy: int | None
    """Percent of the last moment in which something computed."""
    job: str | None = None
    """The job of this user that has leased it."""
    users: tuple[str, ...] = ()
    """Whose processes compute on it."""
    is_ours: bool = True
    """Whether the inventory (``gpus:``) lets jobs have it."""

    @property
    def is_free(self) -> bool:
        """Whether a job would get it."""
        return self.is_ours and self.job is None and not self.users


@attrs.frozen(kw_only=True)
class HostTop:
    """How busy one host is; what it does not tell is ``None``."""

    host: str
    load: float | None = None
    """Of the last minute."""
    cpus: int | None = None
    memory: int | None = None
    """Bytes."""
    memory_free: int | None = None
    """Bytes that programs could have."""
    disk: int | None = None
    """Bytes of the file system that cubes and jobs are on."""
    disk_free: int | None = None
    """Bytes that this user may still write there."""
    jobs: int | None = None
    """Jobs of this user that are at work."""
    slots: int = 1
    gpus: tuple[GpuUse, ...] = ()
    error: HostError | None = None
    """Why it could not be asked."""


def top_all(
    hosts: Iterable[Host], connect: Callable[[Host], Connection], *, parallel: int = 32
) -> tuple[HostTop, ...]:
    """Ask hosts at once; one that cannot be asked is an answer too."""

    def ask(host: Host) -> HostTop:
        try:
            with closing(connect(host)) as connection:
                return top(connection, host)
        except HostError as problem:
            return HostTop(host=host.name, slots=host.slots, error=problem)

    todo = list(hosts)
    with ThreadPoolExecutor(max(1, min(parallel, len(todo)))) as pool:
        return tuple(pool.map(ask, todo))


def top(connection: Connection, host: Host) -> HostTop:
    """Ask one host.

    Raises:
        HostUnfitError: It cannot say.
        HostError: The connection is lost.
    """
    reply = connection.call("mlcr_report_usage", host.remote_root, timeout=_PATIENCE)
    if not reply.ok:
        said = reply.stderr.decode("utf-8", "replace").strip() or f"status {reply.code}"
        raise HostUnfitError(host.name, f"it cannot tell how busy it is: {said}")
    told = records(reply)
    facts = dict(told)
    leases = dict(value.split(" ", 1) for key, value in told if key == "lease" and " " in value)
    processes = [value.split(" ") for key, value in told if key == "process"]
    found = (_gpu(value, leases, processes) for key, value in told if key == "gpu")
    gpus = (gpu and _as_listed(gpu, host.gpus) for gpu in found)
    return HostTop(
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


def _gpu(line: str, leases: dict[str, str], processes: Sequence[Sequence[str]]) -> GpuUse | None:
    """Read a line of nvidia-smi; ``None`` where it is a message instead."""
    fields = [field.strip() for field in line.split(",")]
    if len(fields) < 6 or not fields[1].startswith("GPU-"):
        return None
    index, uuid = fields[:2]
    users = dict.fromkeys(
        (each[2] if len(each) > 2 and each[2] else "?") for each in processes if each[0] == uuid
    )
    return GpuUse(
        index=index,
        uuid=uuid,
        # A name might have a comma, a number never has.
        name=", ".join(fields[2:-3]),
        memory=_whole(fields[-3], _MIB),
        memory_used=_whole(fields[-2], _MIB),
        busy=_whole(fields[-1]),
        job=leases.get(uuid),
        users=tuple(users),
    )


def _as_listed(gpu: GpuUse, listed: Sequence[str] | None) -> GpuUse:
    is_ours = not listed or gpu.index in listed or gpu.uuid in listed
    return attrs.evolve(gpu, is_ours=is_ours)


def _whole(text: str | None, unit: int = 1) -> int | None:
    return int(text) * unit if text is not None and text.isdecimal() else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
