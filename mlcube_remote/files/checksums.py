# SPDX-License-Identifier: Apache-2.0
"""Compare files on this machine with those on a host, by SHA-256."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from mlcube_remote.errors import AbortedTransferError, StateUnknownError, TransferError
from mlcube_remote.remote import status
from mlcube_remote.runs.digests import Digests
from mlcube_remote.transport.base import Connection, Reply

_BATCH = 200
"""Number of files per call."""

START_S = 60.0
"""Time for the host to read small files; all batches together have it once."""
MIN_RATE = 2 * 1024 * 1024
"""Bytes per second that a host reads: a slow disk gets more time, a host that waits does not."""
_FILE_S = 0.05
"""Time for a host to start a program for one more file."""


def find_mismatches(
    connection: Connection,
    remote: str,
    here: Path,
    names: Sequence[str],
    digests: Digests | None = None,
) -> tuple[str, ...]:
    """Return the names of files that differ between ``remote`` on the host and ``here``.

    If the host has no program for SHA-256, the result is empty: rsync's own checksum, made during
    the transfer, is then the only one.

    Args:
        connection: The host.
        remote: Directory on the host.
        here: Directory on this machine.
        names: POSIX paths of files below both directories.
        digests: Cache of digests of files on this machine.

    Raises:
        TransferError: The host could not compute the checksums.
    """
    read = (digests or Digests()).read
    wrong: list[str] = []
    left_s = START_S
    rest = iter(names)
    while batch := tuple(islice(rest, _BATCH)):
        size = sum((here / name).stat().st_size for name in batch)
        left_s += size / MIN_RATE + len(batch) * _FILE_S
        begin = time.monotonic()
        reply = _ask(connection, remote, batch, left_s)
        left_s = max(0.0, left_s - (time.monotonic() - begin))
        if reply.code == status.NO_PROGRAM:
            return ()
        sums = reply.text.split("\0")[:-1]
        if not reply.ok or len(sums) != len(batch):
            raise TransferError(
                connection.name, f"pull incomplete: the files cannot be verified: {reply.message}"
            )
        wrong += (name for name, sha in zip(batch, sums, strict=True) if sha != read(here / name))
    return tuple(wrong)


def _ask(connection: Connection, remote: str, names: Sequence[str], timeout_s: float) -> Reply:
    deadline = time.monotonic() + timeout_s
    try:
        return connection.call("mlcr_print_checksums", remote, *names, timeout=timeout_s)
    except StateUnknownError as problem:
        if time.monotonic() < deadline:
            raise  # the connection broke; the pull is tried again
        raise AbortedTransferError(
            connection.name,
            f"pull incomplete: the host did not compute the checksums within {timeout_s:.0f} s",
            hint="look at the host's disk and its sha256sum, and pull again; "
            "the outputs are still on the host",
        ) from problem
