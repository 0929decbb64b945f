# SPDX-License-Identifier: Apache-2.0
"""Whether files here hold what they hold on a host, by SHA-256."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from mlcube_remote.errors import TransferError
from mlcube_remote.runs.digests import Digests
from mlcube_remote.transport.base import Connection

_AT_ONCE = 200
"""Files that one question is about."""
_PATIENCE = 3600.0
"""Seconds for the host to read that many files."""
_NO_PROGRAM = 127


def differing(
    connection: Connection,
    remote: str,
    here: Path,
    names: Sequence[str],
    digests: Digests | None = None,
) -> tuple[str, ...]:
    """Return the names whose files are not the same below ``remote`` there and ``here``.

    Where the host has no program for SHA-256, nothing is known to differ: rsync's own checksum,
    made while it sent them, then stands alone.

    Args:
        connection: The host.
        remote: The folder there.
        here: The folder here.
        names: POSIX paths of files below both.
        digests: Learns what is read here, so that nobody has to read it again.

    Raises:
        TransferError: The host cannot be asked about them.
    """
    read = (digests or Digests()).read
    wrong: list[str] = []
    rest = iter(names)
    while some := tuple(islice(rest, _AT_ONCE)):
        reply = connection.call("mlcr_print_checksums", remote, *some, timeout=_PATIENCE)
        if reply.code == _NO_PROGRAM:
            return ()
        sums = reply.text.split("\0")[:-1]
        if not reply.ok or len(sums) != len(some):
            said = reply.stderr.decode("utf-8", "replace").strip() or f"status {reply.code}"
            raise TransferError(
                connection.name, f"pull incomplete: what arrived cannot be verified: {said}"
            )
        wrong += (name for name, told in zip(some, sums, strict=True) if told != read(here / name))
    return tuple(wrong)
