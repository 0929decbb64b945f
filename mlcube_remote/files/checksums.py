# SPDX-License-Identifier: Apache-2.0
"""Compare files on this machine with those on a host, by SHA-256."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from mlcube_remote.errors import TransferError
from mlcube_remote.remote import status
from mlcube_remote.runs.digests import Digests
from mlcube_remote.transport.base import Connection

_BATCH = 200
"""Number of files per call."""
_TIMEOUT_S = 3600.0
"""Time for the host to read that many files."""


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
    rest = iter(names)
    while batch := tuple(islice(rest, _BATCH)):
        reply = connection.call("mlcr_print_checksums", remote, *batch, timeout=_TIMEOUT_S)
        if reply.code == status.NO_PROGRAM:
            return ()
        sums = reply.text.split("\0")[:-1]
        if not reply.ok or len(sums) != len(batch):
            raise TransferError(
                connection.name, f"pull incomplete: the files cannot be verified: {reply.message}"
            )
        wrong += (name for name, sha in zip(batch, sums, strict=True) if sha != read(here / name))
    return tuple(wrong)
