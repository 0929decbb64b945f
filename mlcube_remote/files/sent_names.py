# SPDX-License-Identifier: Apache-2.0
"""The names of what a run sends, which rsync lists once and not for each of its hosts.

A list is used again as long as each directory in it has the same names of the same types. Rules are
not compared, as other rules are another tree.
"""

from __future__ import annotations

import os
import posixpath
import stat
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import attrs

from mlcube_remote.files.transfer import list_entries
from mlcube_remote.files.upload import UploadTree

MAX_NAMES = 2_000
"""Maximum number of names in a tree."""

_TRIES = 4
"""How often a tree is listed whose directories have just changed."""

_TICK_NS, _SECOND_NS = 20_000_000, 1_000_000_000
"""Nanoseconds by which the clock of a file system may lag behind; and of one that counts seconds
twice as much."""


@attrs.frozen(kw_only=True)
class SentPath:
    """A file or directory of this machine that is sent, and its path on the host."""

    local: Path
    remote: str
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.status.st_mode)


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


_Signature = list[tuple[int, ...] | frozenset[str]]


@attrs.frozen(kw_only=True)
class _Listing:
    """The names in a tree, and what they were when they were listed."""

    names: list[str]
    signature: _Signature


def _sign(found: Iterable[SentPath]) -> _Signature:
    """Return what would differ if a new list had other names; some times never change."""
    signature: _Signature = []
    for each in found:
        at = each.status
        signature.append((stat.S_IFMT(at.st_mode),))
        if each.is_directory:
            signature.append((at.st_dev, at.st_ino, at.st_mtime_ns))
            signature.append(frozenset(os.listdir(each.local)))
    return signature


@attrs.frozen
class SentNames:
    """The listed trees of a run. Threads may share them."""

    _listings: dict[tuple[str, ...], _Listing | None] = attrs.field(factory=dict, init=False)
    """``None``: a tree has too many names, or cannot be listed."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def read(self, tree: UploadTree) -> list[SentPath] | None:
        """Return what an upload of the tree could send, as it is now.

        Returns:
            ``None`` if these are more than :data:`MAX_NAMES`, or cannot be listed, or change at
            this moment.

        Raises:
            OSError: A file was removed meanwhile.
            UsageError: This machine has no rsync.
        """
        *key, _target = tree.arguments()
        with self._lock:
            known = self._listings.get(tuple(key))
            if known is not None:
                found = _look_again(tree, known)
                if found is not None:
                    return found
            elif tuple(key) in self._listings:
                return None
            return self._list(tree, tuple(key))

    def _list(self, tree: UploadTree, key: tuple[str, ...]) -> list[SentPath] | None:
        for _ in range(_TRIES):
            began = time.time_ns()
            listed = list_entries(tree, MAX_NAMES)
            if listed is None:
                self._listings[key] = None
                return None
            names = [os.fsdecode(name) for name in listed]
            found = _look(tree, names)
            # A name that appeared after the list began would have changed a directory since then.
            if all(is_settled(each.status, began) for each in found if each.is_directory):
                self._listings[key] = _Listing(names=names, signature=_sign(found))
                return found
            time.sleep(_TICK_NS / _SECOND_NS)
        return None


def _look_again(tree: UploadTree, known: _Listing) -> list[SentPath] | None:
    """Return what is known, as it is now; ``None`` if a new list might have other names."""
    try:
        found = _look(tree, known.names)
        return found if known.signature == _sign(found) else None
    except OSError:
        return None


def _look(tree: UploadTree, names: Iterable[str]) -> list[SentPath]:
    top, remote = tree.local, tree.remote
    if not tree.is_directory:
        top, remote = top.parent, posixpath.dirname(remote)
    paths = ((top / name, posixpath.normpath(posixpath.join(remote, name))) for name in names)
    return [SentPath(local=at, remote=there, status=at.lstat()) for at, there in paths]
