# SPDX-License-Identifier: Apache-2.0
"""SHA-256 of files on this machine, with a cache for large files.

A file counts as unchanged if its device, inode, size and modification time are the same; rsync
trusts size and time, too. Renames and hard links do not change them, so a large output that a
later run finds unchanged is not read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

import attrs

from mlcube_remote.directories import state_home
from mlcube_remote.errors import RecordError
from mlcube_remote.runs.atomic import write_atomically
from mlcube_remote.runs.locks import exclusive

MIN_CACHED_BYTES = 1024 * 1024
"""Size from which reading a file takes longer than a look-up in the cache."""

MAX_CACHED = 4096
"""Number of digests in the cache; the oldest are dropped."""

_CHUNK_BYTES = 1024 * 1024


@attrs.define
class Digests:
    """The digests that one command computes, and those in the cache of earlier commands."""

    file: Path = attrs.field(factory=lambda: state_home() / "digests.json")
    _cached: dict[str, str] | None = attrs.field(default=None, init=False)
    _new: dict[str, str] = attrs.field(factory=dict, init=False)

    def read(self, path: Path) -> str:
        """Read a file and return its SHA-256 in hex, whatever the cache holds.

        Raises:
            OSError: The file cannot be read.
        """
        digest = hashlib.sha256()
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            while data := file.read(_CHUNK_BYTES):
                digest.update(data)
            after = os.fstat(file.fileno())
        if _key(before) == _key(after):
            self._new[_key(after)] = digest.hexdigest()
        return digest.hexdigest()

    def of(self, path: Path) -> str:
        """Return a file's SHA-256 in hex, from the cache if the file is unchanged.

        Raises:
            OSError: The file cannot be read.
        """
        status = path.stat()
        digest = self._new.get(_key(status))
        if digest is None and status.st_size >= MIN_CACHED_BYTES:
            digest = self._load_cache().get(_key(status))
        return digest or self.read(path)

    def _load_cache(self) -> dict[str, str]:
        if self._cached is None:
            self._cached = _load(self.file)
        return self._cached

    def save(self) -> None:
        """Add the digests of large files to the cache; do nothing if it cannot be written."""
        large = {key: digest for key, digest in self._new.items() if _size(key) >= MIN_CACHED_BYTES}
        if not large:
            return
        with contextlib.suppress(OSError, RecordError), exclusive("digests"):
            digests = {**_load(self.file), **large}
            write_atomically(self.file, json.dumps(dict(list(digests.items())[-MAX_CACHED:])))


def _key(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}:{status.st_mtime_ns}:{status.st_size}"


def _size(key: str) -> int:
    return int(key.rpartition(":")[2])


def _load(file: Path) -> dict[str, str]:
    """Return the cache of earlier commands; a damaged file counts as an empty cache."""
    try:
        cached = json.loads(file.read_text(encoding="ascii"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(cached, dict):
        return {}
    return {key: digest for key, digest in cached.items() if isinstance(digest, str)}
