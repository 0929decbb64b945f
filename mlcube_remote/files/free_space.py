# SPDX-License-Identifier: Apache-2.0
"""Keep some of this machine's disk free while a host sends files."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from mlcube_remote.errors import AbortedTransferError
from mlcube_remote.formatting import readable_size

RESERVE = 64 * 1024 * 1024
"""Bytes of this machine's disk that a pull leaves free."""

RESERVED_FILES = 1024
"""Number of files that can still be created after a pull, if the file system limits them."""


@attrs.define
class FreeSpace:
    """The free space of the disk that a pull writes to."""

    host: str
    folder: Path
    at_start: int = attrs.field(init=False)
    """Free bytes before the transfer."""
    _before: int = attrs.field(init=False)
    """Free bytes at the last check."""

    def __attrs_post_init__(self) -> None:
        about = os.statvfs(self.folder)
        self.at_start = self._before = about.f_bavail * about.f_frsize

    def check(self) -> None:
        """Raise an error if the reserve will be used before the next check.

        Raises:
            AbortedTransferError: It will.
        """
        about = os.statvfs(self.folder)
        free = about.f_bavail * about.f_frsize
        lately = max(0, self._before - free)
        self._before = free
        # On a disk that is almost full, rsync omits all files, see --max-size.
        if free - lately < RESERVE <= self.at_start:
            raise full(self.host, f"only {readable_size(free)} of {self.folder}'s disk are free")
        if about.f_files and about.f_favail < RESERVED_FILES:
            raise full(self.host, f"{self.folder}'s disk has room for {about.f_favail} files only")


def full(host: str, reason: str) -> AbortedTransferError:
    """Return the error for a disk that a pull would fill."""
    return AbortedTransferError(
        host,
        f"pull incomplete: {reason}; what had arrived was removed",
        hint="free some space and pull again; the outputs are still on the host",
    )
