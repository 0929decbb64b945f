# SPDX-License-Identifier: Apache-2.0
"""Compare files on this machine with those on a host, by SHA-256."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlcube_remote.errors import (
    AbortedTransferError,
    HostUnfitError,
    StateUnknownError,
    TransferError,
)
from mlcube_remote.remote import status
from mlcube_remote.runs.digests import Digests
from mlcube_remote.transport.base import Connection, Reply

_BATCH = 2000
_BATCH_BYTES = 64 * 1024
"""Maximum number of files per call, and size of their names, which are arguments of a command."""

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
    with ThreadPoolExecutor(1, thread_name_prefix="mlcr-checksums") as threads:
        for batch in _batches(names):
            size = sum(os.stat(os.path.join(here, name)).st_size for name in batch)
            left_s += size / MIN_RATE + len(batch) * _FILE_S
            asked = threads.submit(_ask, connection, remote, batch, left_s)
            # This machine reads its files while the host reads the same ones.
            own = [read(here / name) for name in batch]
            reply, took_s = asked.result()
            left_s = max(0.0, left_s - took_s)
            if reply.code == status.NO_PROGRAM:
                return ()
            sums = reply.text.split("\0")[:-1]
            if not reply.ok or len(sums) != len(batch):
                raise TransferError(
                    connection.name,
                    f"pull incomplete: the files cannot be verified: {reply.message}",
                )
            wrong += (name for name, sha, ours in zip(batch, sums, own, strict=True) if sha != ours)
    return tuple(wrong)


def read_checksums(
    connection: Connection, remote: str, names: Sequence[str], size: int
) -> dict[str, str] | None:
    """Return name → SHA-256 of files on a host; empty texts for files that it cannot read.

    Args:
        connection: The host.
        remote: Directory on the host.
        names: POSIX paths below it.
        size: Bytes of all files, from which the time for the answer is computed.

    Returns:
        ``None`` if there is no such directory.

    Raises:
        HostUnfitError: The host has no program for SHA-256.
        StateUnknownError: It does not answer.
    """
    found: dict[str, str] = {}
    timeout_s = START_S + size / MIN_RATE + len(names) * _FILE_S
    for batch in _batches(names):
        words = [f"./{name}" for name in batch]
        reply = connection.call("mlcr_print_checksums", remote, *words, timeout=timeout_s)
        if reply.code == status.NO_PROGRAM:
            raise HostUnfitError(
                connection.name, "it has no program for SHA-256, such as sha256sum"
            )
        sums = reply.text.split("\0")[:-1]
        if len(sums) != len(batch):
            return None
        found |= zip(batch, sums, strict=True)
    return found


def _batches(names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield names in groups whose files one call can name."""
    batch: list[str] = []
    size = 0
    for name in names:
        length = len(os.fsencode(name))
        if batch and (len(batch) == _BATCH or size + length > _BATCH_BYTES):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(name)
        size += length
    if batch:
        yield tuple(batch)


def _ask(
    connection: Connection, remote: str, names: Sequence[str], timeout_s: float
) -> tuple[Reply, float]:
    """Return the host's answer, and the seconds that it took."""
    begin = time.monotonic()
    deadline = begin + timeout_s
    words = [f"./{name}" for name in names]
    try:
        reply = connection.call("mlcr_print_checksums", remote, *words, timeout=timeout_s)
        return reply, time.monotonic() - begin
    except StateUnknownError as problem:
        if time.monotonic() < deadline:
            raise  # the connection broke; the pull is tried again
        raise AbortedTransferError(
            connection.name,
            f"pull incomplete: the host did not compute the checksums within {timeout_s:.0f} s",
            hint="look at the host's disk and its sha256sum, and pull again; "
            "the outputs are still on the host",
        ) from problem
