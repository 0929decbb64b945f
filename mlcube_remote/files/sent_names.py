# SPDX-License-Identifier: Apache-2.0
"""The names of what a run sends, which are listed once and not for each of its hosts.

A list is used again as long as no directory in it has changed: a new name changes the times of its
directory.
"""

from __future__ import annotations

import os
import posixpath
import stat
import threading
import time
from pathlib import Path

import attrs

from mlcube_remote.files.transfer import list_entries
from mlcube_remote.files.upload import UploadTree

MAX_NAMES = 2_000
"""Maximum number of names in a tree."""

_TICK_NS, _SECOND_NS = 20_000_000, 1_000_000_000
"""Nanoseconds by which the clock of a file system may lag behind; and of one that counts seconds
twice as much."""

Stamp = tuple[int, ...]


def stamp(status: os.stat_result) -> Stamp:
    """Return what differs after a change of a file, or of the names in a directory."""
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (status.st_mode, status.st_dev, status.st_ino, status.st_size, *times)


def is_settled(status: os.stat_result, now: int) -> bool:
    """Return whether the last change is so old that another one would change the times.

    Args:
        status: A file or directory.
        now: The time in nanoseconds.
    """
    changed = status.st_ctime_ns
    # Without a fraction, the file system may count whole seconds.
    step = _TICK_NS if changed % _SECOND_NS else 2 * _SECOND_NS
    return changed < now - step


@attrs.frozen(kw_only=True)
class SentPath:
    """A file or directory of this machine that is sent, and its path on the host."""

    local: Path
    remote: str
    status: os.stat_result


@attrs.frozen(kw_only=True)
class _Listing:
    """The names in a tree, and the state of its directories when they were listed."""

    names: list[str]
    directories: dict[Path, Stamp]
    is_lasting: bool
    """Whether a later change of a name would be seen."""

    def is_current(self) -> bool:
        return self.is_lasting and all(
            stamp(path.lstat()) == before for path, before in self.directories.items()
        )


@attrs.frozen
class SentNames:
    """The listed trees of a run. Threads may share them."""

    _listings: dict[tuple[str, ...], _Listing] = attrs.field(factory=dict, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def read(self, tree: UploadTree) -> list[SentPath] | None:
        """Return what an upload of the tree could send, as it is now.

        Returns:
            ``None`` if these are more than :data:`MAX_NAMES`, or cannot be listed.

        Raises:
            OSError: A file was removed meanwhile.
            UsageError: This machine has no rsync.
        """
        top, remote = tree.local, tree.remote
        if not tree.is_directory:
            top, remote = top.parent, posixpath.dirname(remote)
        with self._lock:
            names = self._names(tree, top)
        if names is None:
            return None
        paths = ((top / name, posixpath.normpath(posixpath.join(remote, name))) for name in names)
        return [SentPath(local=at, remote=there, status=at.lstat()) for at, there in paths]

    def _names(self, tree: UploadTree, top: Path) -> list[str] | None:
        *options, _target = tree.arguments()
        key = tuple(options)
        known = self._listings.get(key)
        if known is not None and known.is_current():
            return known.names
        began = time.time_ns()
        found = list_entries(tree, MAX_NAMES)
        if found is None:
            self._listings.pop(key, None)
            return None
        names = [os.fsdecode(name) for name in found]
        statuses = {top / name: (top / name).lstat() for name in names}
        directories = {at: each for at, each in statuses.items() if stat.S_ISDIR(each.st_mode)}
        self._listings[key] = _Listing(
            names=names,
            directories={path: stamp(status) for path, status in directories.items()},
            is_lasting=all(is_settled(status, began) for status in directories.values()),
        )
        return names
