# SPDX-License-Identifier: Apache-2.0
"""Remove mirrors of cubes, their data and their images from hosts, if no job uses them any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import attrs

from mlcube_remote.errors import HostError, HostUnfitError
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.disk import StoredItem, read_disk
from mlcube_remote.runs.store import Store
from mlcube_remote.transport.base import Connection

_DELETING_S = 600
"""Seconds in which one call deletes; the rest is deleted by the next one."""

_AT_ONCE = 100
"""Number of keys of one call."""

_REASONS = {
    "live": "a job uses it",
    "age": "it was used meanwhile",
    "outputs": "it may have outputs that no client has pulled",
    "foreign": "mlcube-remote did not build it for you",
    "mount": "a file system is mounted in it",
    "error": "the host could not remove it",
    "left": "a part could not be deleted: it belongs to another user, or time was short; the next "
    "clean tries it again",
}


@attrs.frozen(kw_only=True)
class MirrorRules:
    """What to remove."""

    older_than: float
    """Minimum number of seconds since the last use."""
    cubes: bool = False
    """Whether to remove mirrors of cubes and workspaces, with their SIF images, data, and the
    workspaces of trials whose jobs were removed."""
    images: bool = False
    """Whether to remove images that clients built with Docker or Podman."""
    with_outputs: bool = False
    """Whether to remove also what may have outputs that no client has pulled."""

    def concerns(self, item: StoredItem) -> bool:
        """Return whether an item is of a kind that is removed, and old enough."""
        is_wanted = (item.kind in {"cube", "workspace", "data", "trial"} and self.cubes) or (
            item.kind == "image" and self.images
        )
        return is_wanted and item.age is not None and item.age >= self.older_than

    def why_kept(self, item: StoredItem) -> str:
        """Return the reason to keep an item, as the host names it; empty if there is none."""
        if item.is_live:
            return "live"
        if item.kind == "image":
            return "" if item.is_built else "foreign"
        return "outputs" if item.may_have_outputs and not self.with_outputs else ""


@attrs.frozen(kw_only=True)
class KeptItem:
    """Something old that is still on its host."""

    item: StoredItem
    why: str
    """The reason, in words."""


@attrs.frozen(kw_only=True)
class CleanedMirrors:
    """What was removed from one host."""

    host: str
    removed: tuple[StoredItem, ...] = ()
    """What was removed or, in a dry run, would be."""
    kept: tuple[KeptItem, ...] = ()
    """What is old enough, and was kept."""
    error: HostError | None = None


def clean_mirrors(
    hosts: Iterable[Host],
    connect: Callable[[Host], Connection],
    store: Store,
    rules: MirrorRules,
    *,
    dry_run: bool = False,
) -> tuple[CleanedMirrors, ...]:
    """Remove from hosts what no job has used for some time; each host checks again before.

    Args:
        hosts: The hosts.
        connect: Opens a connection.
        store: The records of this machine, which say what was pulled.
        rules: What to remove.
        dry_run: Whether to report what would be removed, and remove nothing.
    """

    def work(host: Host) -> CleanedMirrors:
        removed: list[StoredItem] = []
        kept: list[KeptItem] = []
        try:
            with closing(connect(host)) as connection:
                old = [
                    each
                    for each in read_disk(connection, host, store).items
                    if rules.concerns(each)
                ]
                kept += [_kept(each, why) for each in old if (why := rules.why_kept(each))]
                chosen = [each for each in old if not rules.why_kept(each)]
                if dry_run:
                    removed += chosen
                else:
                    for start in range(0, len(chosen), _AT_ONCE):
                        part = chosen[start : start + _AT_ONCE]
                        _remove(connection, host, rules, part, removed, kept)
        except HostError as problem:
            return CleanedMirrors(
                host=host.name, removed=tuple(removed), kept=tuple(kept), error=problem
            )
        return CleanedMirrors(host=host.name, removed=tuple(removed), kept=tuple(kept))

    todo = list(hosts)
    with ThreadPoolExecutor(max(1, min(32, len(todo)))) as pool:
        return tuple(pool.map(work, todo))


def _remove(
    connection: Connection,
    host: Host,
    rules: MirrorRules,
    items: Sequence[StoredItem],
    removed: list[StoredItem],
    kept: list[KeptItem],
) -> None:
    """Remove items from a host, and add each to one of the lists."""
    by_key = {item.key: item for item in items}
    outputs = "yes" if rules.with_outputs else ""
    reply = connection.call(
        "mlcr_remove_unused",
        *(host.remote_root, str(_DELETING_S), str(int(rules.older_than)), outputs, *by_key),
        timeout=_DELETING_S + 300.0,
    )
    if not reply.ok:
        raise HostUnfitError(host.name, f"nothing could be removed: {reply.message}")
    for name, value in reply.records():
        why, _, key = ("left", "", value) if name == "left" else value.rpartition(" ")
        item = by_key.get(key)
        if item is not None and name == "removed":
            removed.append(item)
        elif item is not None and why != "gone":  # another client was faster
            kept.append(_kept(item, why))


def _kept(item: StoredItem, why: str) -> KeptItem:
    return KeptItem(item=item, why=_REASONS.get(why, _REASONS["error"]))
