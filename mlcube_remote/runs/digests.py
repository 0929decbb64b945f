# SPDX-License-Identifier: Apache-2.0
"""SHA-256 of files on this machine, each large one read once.

A file counts as the one that was read when its device, inode, size and time of change are the same:
what rsync trusts, too. Renames and further links do not change them, so an output that a run finds
unchanged is not read again, however large it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

import attrs

from mlcube_remote.runs.atomic import write_whole
from mlcube_remote.runs.locks import alone
from mlcube_remote.runs.store import RecordError, state_home

WORTH_KEEPING = 1024 * 1024
"""Bytes from which a file takes longer to read than to look up."""

MOST = 4096
"""Digests that are kept, the latest of them."""

_CHUNK = 1024 * 1024


@attrs.define
class Digests:
    """The digests of one command, on top of those of earlier ones."""

    file: Path = attrs.field(factory=lambda: state_home() / "digests.json")
    _before: dict[str, str] | None = attrs.field(default=None, init=False)
    _new: dict[str, str] = attrs.field(factory=dict, init=False)

    def read(self, path: Path) -> str:
        """Return a file's SHA-256 as its bytes are now, in hex.

        Raises:
            OSError: It cannot be read.
        """
        digest = hashlib.sha256()
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            while data := file.read(_CHUNK):
                digest.update(data)
            after = os.fstat(file.fileno())
        if _key(before) == _key(after):
            self._new[_key(after)] = digest.hexdigest()
        return digest.hexdigest()

    def of(self, path: Path) -> str:
        """Return a file's SHA-256 in hex, without reading what has been read before.

        Raises:
            OSError: It cannot be read.
        """
        about = path.stat()
        known = self._new.get(_key(about))
        if known is None and about.st_size >= WORTH_KEEPING:
            known = self._earlier().get(_key(about))
        return known or self.read(path)

    def _earlier(self) -> dict[str, str]:
        if self._before is None:
            self._before = _load(self.file)
        return self._before

    def save(self) -> None:
        """Keep the digests of large files for later commands; without a place for it they go."""
        large = {key: digest for key, digest in self._new.items() if _size(key) >= WORTH_KEEPING}
        if not large:
            return
        with contextlib.suppress(OSError, RecordError), alone("digests"):
            every = {**_load(self.file), **large}
            write_whole(self.file, json.dumps(dict(list(every.items())[-MOST:])))


def _key(about: os.stat_result) -> str:
    return f"{about.st_dev}:{about.st_ino}:{about.st_mtime_ns}:{about.st_size}"


def _size(key: str) -> int:
    return int(key.rpartition(":")[2])


def _load(file: Path) -> dict[str, str]:
    """Return what earlier commands kept; a damaged file is as good as none."""
    try:
        kept = json.loads(file.read_text(encoding="ascii"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {key: digest for key, digest in kept.items() if isinstance(digest, str)}
