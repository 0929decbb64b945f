# SPDX-License-Identifier: Apache-2.0
"""What is stored on hosts for cubes and jobs: its size, and when a job last used it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from mlcube_remote.budgets import parse_whole
from mlcube_remote.errors import HostError, HostUnfitError, RecordError
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.handle import HandleError, JobHandle, from_document
from mlcube_remote.jobs.records import was_pulled
from mlcube_remote.runs.ids import parse_job_id
from mlcube_remote.runs.store import Store
from mlcube_remote.transport.ask_hosts import ask_hosts
from mlcube_remote.transport.base import Connection

MEASURING_S = 20
"""Seconds in which a host measures sizes; those that it cannot measure in time are lower limits."""

_TIMEOUT_S = MEASURING_S + 240.0
_KIB = 1024
_KINDS = {
    "cubes": "cube",
    "workspaces": "workspace",
    "data": "data",
    "images": "image",
    "trials": "trial",
}


@attrs.frozen(kw_only=True)
class StoredItem:
    """One thing on a host that takes space."""

    key: str
    """Its path below ``remote_root``; of an image, its name in the records of uses."""
    name: str = ""
    """Its name for people: that of a cube or an image, the path of data on its client's machine."""
    client: str = ""
    """``user@machine`` of the client that used it last."""
    size: int | None = None
    """Bytes; ``None``: unknown."""
    is_at_least: bool = False
    """Whether the size is a lower limit, because not all of it could be measured."""
    sif_size: int = 0
    """Bytes of the SIF images that are part of it."""
    age: int | None = None
    """Seconds since the last use; ``None``: unknown."""
    is_recorded: bool = False
    """Whether the host recorded the last use; otherwise the age is estimated from file times."""
    is_live: bool = False
    """Whether a live job uses it."""
    unpulled: tuple[str, ...] = ()
    """Jobs that may have outputs there that no client has pulled."""
    is_built: bool = False
    """Whether it is an image that a client built for this user; only such an image is removed."""

    @property
    def kind(self) -> str:
        """Cube, workspace, data, image, trial, jobs, trials, or removed: what a removal has left.

        A trial is the workspace of a job that was removed; its size is a part of that of the
        trials.
        """
        first, _, name = self.key.partition("/")
        if not name:
            return first
        return "removed" if name.startswith(".") else _KINDS.get(first, first)

    @property
    def may_have_outputs(self) -> bool:
        """Whether it may have outputs that no client has pulled."""
        return bool(self.unpulled) or (not self.is_recorded and self.kind != "image")


@attrs.frozen(kw_only=True)
class HostDisk:
    """What one host stores."""

    host: str
    root: str = ""
    """``remote_root``, absolute on the host."""
    items: tuple[StoredItem, ...] = ()
    error: HostError | None = None
    """Why the host gave no answer."""


def read_disk_of_all(
    hosts: Iterable[Host], connect: Callable[[Host], Connection], store: Store
) -> tuple[HostDisk, ...]:
    """Ask hosts in parallel what they store; a host that gives no answer has an ``error``."""
    return ask_hosts(
        hosts,
        connect,
        lambda connection, host: read_disk(connection, host, store),
        lambda host, problem: HostDisk(host=host.name, error=problem),
    )


def read_disk(connection: Connection, host: Host, store: Store) -> HostDisk:
    """Ask one host what it stores.

    Args:
        connection: The host.
        host: The same host.
        store: The records of this machine, which say what was pulled.

    Raises:
        HostUnfitError: Its tools do not work.
        HostError: The connection is lost.
    """
    words = (host.remote_root, str(MEASURING_S))
    reply = connection.call("mlcr_report_disk", *words, timeout=_TIMEOUT_S)
    if not reply.ok:
        raise HostUnfitError(host.name, f"its disk usage could not be read: {reply.message}")
    records = reply.records()
    used = [value.split(" ", 1) for key, value in records if key == "used" and " " in value]
    unpulled = [(key, job) for key, job in used if not is_pulled(store, job)]
    groups: list[list[tuple[str, str]]] = []
    for record in records:
        if record[0] == "item":
            groups.append([])
        if groups:
            groups[-1].append(record)
    items = tuple(_item(group, unpulled) for group in groups)
    return HostDisk(host=host.name, root=dict(records).get("root", ""), items=items)


def is_pulled(store: Store, job_id: str, handle: JobHandle | None = None) -> bool:
    """Return whether this machine has pulled the outputs of a job.

    Args:
        store: The records of this machine.
        job_id: The job.
        handle: Its handle, if it is known; otherwise that of the record.
    """
    run = parse_job_id(job_id)
    if run is None:
        return False
    try:
        document = store.read(run[0], job_id) or {}
        if handle is None and "ticket" in document:
            handle = from_document(document["ticket"])
    except (RecordError, HandleError):
        return False
    return was_pulled(document, handle)


def _item(records: list[tuple[str, str]], unpulled: list[tuple[str, str]]) -> StoredItem:
    facts = dict(records)
    key = facts["item"]
    size = _whole(facts.get("size"))
    least = _whole(facts.get("atleast"))
    known = least if size is None else size
    count = None if known is None else known * _KIB
    noted = [value for name, value in records if name == "unpulled"]
    jobs = [*noted, *(job for used, job in unpulled if used == key)]
    return StoredItem(
        key=key,
        name=facts.get("name", ""),
        client=facts.get("client", ""),
        size=_whole(facts.get("bytes")) if "bytes" in facts else count,
        is_at_least=size is None and least is not None,
        sif_size=sum(_whole(value) or 0 for name, value in records if name == "sif"),
        age=_whole(facts.get("age")),
        is_recorded="client" in facts,
        is_live="live" in facts,
        unpulled=tuple(dict.fromkeys(jobs)),
        is_built="built" in facts,
    )


def _whole(text: str | None) -> int | None:
    try:
        return None if text is None else max(0, parse_whole(text))
    except ValueError:
        return None
