# SPDX-License-Identifier: Apache-2.0
"""Look at a tree before it is sent, and choose the options of rsync that fit its files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from mlcube_remote.files.filters import is_never_sent

MAX_FILES = 20_000
"""Maximum number of files and directories to look at, which takes some 50 ms."""

MAX_COMPARED = 2_000
"""Maximum number of them in a tree whose files are compared by content."""

MAX_COMPARED_SIZE = 64 * 1024 * 1024
"""Maximum size of such a tree, in bytes."""

_MIN_HOLES = 64 * 1024
"""Size of the holes of a file, in bytes, below which they do not matter."""

_BLOCK = 512
"""Unit of ``st_blocks``, in bytes."""


def choose_options(tops: Iterable[Path], excluded: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Return the options for an upload of these directories and files, without the excluded ones.

    - ``--checksum`` if they are small: rsync compares sizes and times, and some programs give each
      file the same time. Reading small files costs next to nothing.
    - ``--sparse`` if a file has holes, or there are too many to know: with it, rsync writes in
      pieces of a kilobyte to look for zeros, so that a large file takes a third more time.
    """
    found = list(islice((status for top in tops for status in _look(top, excluded)), MAX_FILES))
    size = sum(status.st_size for status in found)
    options = []
    if len(found) <= MAX_COMPARED and size <= MAX_COMPARED_SIZE:
        options.append("--checksum")
    if len(found) == MAX_FILES or any(map(_has_holes, found)):
        options.append("--sparse")
    return tuple(options)


def _look(top: Path, excluded: frozenset[str]) -> Iterator[os.stat_result]:
    """Yield the status of everything in a tree; what cannot be read is an error of rsync later."""
    yield from _status(os.path.realpath(top))
    for folder, folders, files in os.walk(top):
        paths = {name: os.path.join(folder, name) for name in (*folders, *files)}
        folders[:] = [
            name
            for name in folders
            if not is_never_sent(name) and excluded.isdisjoint((paths[name], f"{paths[name]}/"))
        ]
        for name in (*folders, *files):
            if paths[name] not in excluded:
                yield from _status(paths[name])


def _status(path: str) -> Iterator[os.stat_result]:
    try:
        yield os.lstat(path)
    except OSError:
        return


def _has_holes(status: os.stat_result) -> bool:
    holes = status.st_size - status.st_blocks * _BLOCK
    return stat.S_ISREG(status.st_mode) and holes >= _MIN_HOLES
