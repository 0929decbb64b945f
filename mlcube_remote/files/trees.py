# SPDX-License-Identifier: Apache-2.0
r"""Digests of files and directories on this machine, for the record of what a job used.

The digest of a directory is what this command prints in it, if it contains no links::

    find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0r sha256sum -z -- | sha256sum

A link counts as a file that contains the path of its target.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlcube_remote.events.provenance import Tree
from mlcube_remote.runs.digests import Digests
from mlcube_remote.runs.manifests import ListedFile, Manifests, digest_of

_MANY = 500
"""Number of files from which the sizes and times of all are compared first: if they are as they
were last time, no file is read."""


def read_tree(path: Path, digests: Digests, manifests: Manifests) -> Tree:
    """Return the digest of a file or a directory.

    Raises:
        OSError: It does not exist, or a file cannot be read.
    """
    if not path.is_dir():
        return Tree(files=1, size=path.stat().st_size, sha256=digests.of(path))
    return read_files(path, _names(path, b""), digests, manifests)


def read_files(root: Path, names: Iterable[bytes], digests: Digests, manifests: Manifests) -> Tree:
    """Return the digest of a directory that consists of the files with these names.

    Args:
        root: The directory.
        names: Their POSIX paths below it.
        digests: Digests of files that are known.
        manifests: Receives the names.

    Raises:
        OSError: A file cannot be read.
    """
    found = sorted((name, os.lstat(_join(root, name))) for name in names)
    entries = [(name, status) for name, status in found if not stat.S_ISDIR(status.st_mode)]
    key = _stats(root, entries) if len(entries) >= _MANY else ""
    if key and (known := manifests.recall(key)):
        return Tree(files=len(entries), size=_size(entries), sha256=str(known.get("sha256", "")))
    listed = [
        ListedFile(name, status.st_size, _digest(_join(root, name), status, digests))
        for name, status in entries
        if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)
    ]
    whole = digest_of(listed)
    manifests.write(whole, listed)
    if key:
        manifests.remember(key, {"sha256": whole})
    return Tree(files=len(listed), size=sum(file.size for file in listed), sha256=whole)


def list_tree(root: Path, digests: Digests, names: Iterable[str] | None = None) -> list[ListedFile]:
    """Return the files of a directory.

    Args:
        root: The directory.
        digests: Digests of files that are known.
        names: Only these, if they exist; ``None``: all.

    Raises:
        OSError: A file cannot be read.
    """
    wanted = _names(root, b"") if names is None else map(os.fsencode, names)
    found = sorted(name for name in wanted if os.path.lexists(_join(root, name)))
    listed = []
    for name in found:
        status = os.lstat(_join(root, name))
        if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            digest = _digest(_join(root, name), status, digests)
            listed.append(ListedFile(name, status.st_size, digest))
    return listed


def _names(root: Path, prefix: bytes) -> Iterator[bytes]:
    with os.scandir(_join(root, prefix)) as entries:
        for entry in entries:
            name = prefix + os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                yield from _names(root, name + b"/")
            elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                yield name


def _join(root: Path, name: bytes) -> bytes:
    return os.path.join(os.fsencode(root), name)


def _digest(path: bytes, status: os.stat_result, digests: Digests) -> str:
    if stat.S_ISLNK(status.st_mode):
        return hashlib.sha256(os.readlink(path)).hexdigest()
    return digests.of(Path(os.fsdecode(path)))


def _size(entries: Iterable[tuple[bytes, os.stat_result]]) -> int:
    return sum(status.st_size for _, status in entries)


def _stats(root: Path, entries: Iterable[tuple[bytes, os.stat_result]]) -> str:
    """Return a digest of the names, sizes and times of files; rsync trusts these, too."""
    whole = hashlib.sha256(os.fsencode(root))
    for name, status in entries:
        about = (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns)
        whole.update(name + b"\0" + repr(about).encode())
    return whole.hexdigest()
