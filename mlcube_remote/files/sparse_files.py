# SPDX-License-Identifier: Apache-2.0
"""Find out whether files that are sent have holes, which a file system does not store.

With ``--sparse``, rsync writes each file in pieces of a kilobyte to look for zeros, so that a large
file takes a third more time. An upload uses the option only if it makes a difference.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

MAX_FILES = 20_000
"""Maximum number of files and directories to look at, which takes some 50 ms."""

_MIN_HOLES = 64 * 1024
"""Size of the holes of a file, in bytes, below which they do not matter."""

_BLOCK = 512
"""Unit of ``st_blocks``, in bytes."""


def may_have_holes(tops: Iterable[Path]) -> bool:
    """Return whether a file in one of the trees has holes, or there are too many files to know.

    Args:
        tops: Directories and files of this machine.
    """
    files = (path for top in tops for path in _files(top))
    return any(number >= MAX_FILES or _has_holes(path) for number, path in enumerate(files))


def _files(top: Path) -> Iterator[str]:
    yield os.path.realpath(top)
    for folder, _, names in os.walk(top):
        yield folder
        yield from (os.path.join(folder, name) for name in names)


def _has_holes(path: str) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False  # rsync cannot send it either, and says so
    holes = status.st_size - status.st_blocks * _BLOCK
    return stat.S_ISREG(status.st_mode) and holes >= _MIN_HOLES
