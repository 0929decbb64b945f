# SPDX-License-Identifier: Apache-2.0
"""Whether files here hold what they hold on a host, by SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from mlcube_remote.errors import TransferError
from mlcube_remote.transport.base import Connection

_AT_ONCE = 200
"""Files that one question is about."""
_PATIENCE = 3600.0
"""Seconds for the host to read that many files."""
_NO_PROGRAM = 127
_CHUNK = 1024 * 1024


def differing(
    connection: Connection, remote: str, here: Path, names: Sequence[str]
) -> tuple[str, ...]:
    """Return the names whose files are not the same below ``remote`` there and ``here``.

    Where the host has no program for SHA-256, nothing is known to differ: rsync's own checksum,
    made while it sent them, then stands alone.

    Raises:
        TransferError: The host cannot be asked about them.
    """
    wrong: list[str] = []
    rest = iter(names)
    while some := tuple(islice(rest, _AT_ONCE)):
        reply = connection.call("mlcr_sums", remote, *some, timeout=_PATIENCE)
        if reply.code == _NO_PROGRAM:
            return ()
        sums = reply.text.split("\0")[:-1]
        if not reply.ok or len(sums) != len(some):
            said = reply.stderr.decode("utf-8", "replace").strip() or f"status {reply.code}"
            raise TransferError(
                connection.name, f"pull incomplete: what arrived cannot be verified: {said}"
            )
        wrong += _wrong(here, some, sums)
    return tuple(wrong)


def _wrong(here: Path, names: Sequence[str], sums: Sequence[str]) -> Iterator[str]:
    for name, told in zip(names, sums, strict=True):
        if told != _sum(here / name):
            yield name


def _sum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest()
