# SPDX-License-Identifier: Apache-2.0
"""What hosts store, as ``hosts disk`` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlcube_remote.events.documents import error_document
from mlcube_remote.formatting import readable_duration, readable_size
from mlcube_remote.jobs.disk import MEASURING_S, HostDisk, StoredItem
from mlcube_remote.ui.tables.columns import format_table, shorten, unreachable_lines
from mlcube_remote.ui.text import one_line

_HEADER = ("host", "what", "name", "size", "last use", "client", "note")


def disk_text(hosts: Sequence[HostDisk], *, width: int | None = None) -> str:
    """Return a table of what hosts store, the total of each, and the hosts without an answer.

    Args:
        hosts: The hosts.
        width: Columns of the terminal; ``None``: no limit.
    """
    rows = [_row(host, item) for host in hosts for item in _sorted(host.items)]
    parts = []
    if rows:
        spare, shrink = ("client",), ("name", "note", "host")
        parts.append(format_table(_HEADER, rows, width=width, spare=spare, shrink=shrink))
    lines = [_total(host) for host in hosts if host.error is None]
    if any(item.is_at_least for host in hosts for item in host.items):
        lines.append(f"≥: at least; a host measures for {MEASURING_S} s")
    lines += unreachable_lines((host.host, host.error) for host in hosts)
    parts.append("\n".join(shorten(line, width) if width else line for line in lines))
    return "\n\n".join(parts)


def _sorted(items: Sequence[StoredItem]) -> list[StoredItem]:
    return sorted(items, key=lambda item: -(item.size or 0))


def _total(host: HostDisk) -> str:
    # A trial is a part of the trials.
    size = sum(item.size or 0 for item in host.items if item.kind != "trial")
    is_least = any(item.is_at_least for item in host.items)
    where = one_line(host.root) or "the host"
    return (
        f"{host.host}: {'≥' if is_least else ''}{readable_size(size)} in {where}, images included"
    )


def _row(host: HostDisk, item: StoredItem) -> list[str]:
    return [
        host.host,
        one_line(item.kind),
        one_line(item_name(item)),
        shown_size(item),
        shown_age(item),
        one_line(item.client) or "-",
        _note(item),
    ]


def item_name(item: StoredItem) -> str:
    """Return the name of an item for people; any text."""
    return item.name or item.key.partition("/")[2] or "-"


def shown_size(item: StoredItem) -> str:
    """Return its size; ``≥`` in front of a lower limit."""
    if item.size is None:
        return "?"
    return ("≥" if item.is_at_least else "") + readable_size(item.size)


def shown_age(item: StoredItem) -> str:
    """Return how long ago it was last used."""
    if item.is_live:
        return "now"
    return "-" if item.age is None else f"{readable_duration(item.age)} ago"


def _note(item: StoredItem) -> str:
    if item.is_live:
        return "in use"
    if item.kind in {"jobs", "trials"}:
        return ""
    if item.kind == "image":
        return "" if item.is_built else "not built by mlcube-remote"
    if item.kind == "removed":
        return "not fully deleted"
    if item.may_have_outputs:
        is_known = item.unpulled or item.kind == "trial"
        return "outputs not pulled" if is_known else "no record of use"
    return f"SIF {readable_size(item.sif_size)}" if item.sif_size else ""


def disk_document(hosts: Sequence[HostDisk]) -> dict[str, Any]:
    """Return the same as JSON; sizes are bytes, ages seconds."""
    return {
        "version": 1,
        "hosts": [
            {
                "host": host.host,
                "error": None if host.error is None else error_document(host.error),
                "root": host.root or None,
                "items": [item_document(item) for item in _sorted(host.items)],
            }
            for host in hosts
        ],
    }


def item_document(item: StoredItem) -> dict[str, Any]:
    """Return an item as JSON."""
    return {
        "kind": item.kind,
        "key": item.key,
        "name": item.name or None,
        "client": item.client or None,
        "size": item.size,
        "size_is_at_least": item.is_at_least,
        "sif_size": item.sif_size,
        "last_use_seconds": item.age,
        "last_use_is_recorded": item.is_recorded,
        "in_use": item.is_live,
        "unpulled": list(item.unpulled),
        "built": item.is_built,
    }
