# SPDX-License-Identifier: Apache-2.0
"""Open directories step by step without following links, so that no link leads out.

A path that a cube or a host chooses is judged by the file system at the moment of use, never as
text: a link may have been planted before, by the cube's author, or by an earlier pull.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LinkInPathError(OSError):
    """A component of a path is a link, and may not be followed; ``filename`` names it."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.ELOOP, "is a link, which is not followed", os.fspath(path))


def open_directory(name: str, parent: int, path: Path, *, create: bool = False) -> int:
    """Open one directory below an open one, without following a link.

    Args:
        name: A single component.
        parent: Descriptor of the directory that contains it.
        path: Its path, for messages.
        create: Whether to create it if it does not exist.

    Returns:
        A descriptor, which the caller closes.

    Raises:
        LinkInPathError: It is a link.
        OSError: It cannot be opened or created.
    """
    if create:
        try:
            os.mkdir(name, dir_fd=parent)
        except FileExistsError:
            pass
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, os.fspath(path)) from problem
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError as problem:
        if os.path.islink(path):
            raise LinkInPathError(path) from problem
        raise OSError(problem.errno, problem.strerror, os.fspath(path)) from problem


@contextmanager
def open_below(anchor: Path, path: Path, *, create: bool = False) -> Iterator[int]:
    """Open ``path``, which is ``anchor`` or below it, without following a link below ``anchor``.

    Args:
        anchor: A directory that the user named. Links in its own path are the user's.
        path: The directory to open.
        create: Whether to create the directories that do not exist, ``anchor`` included.

    Yields:
        A descriptor of the directory.

    Raises:
        LinkInPathError: A component below ``anchor`` is a link.
        OSError: A component cannot be opened or created.
        ValueError: ``path`` is not below ``anchor``, or contains ``..``.
    """
    components = path.relative_to(anchor).parts
    if ".." in components:
        raise ValueError(f"{path}: contains ..")
    if create:
        anchor.mkdir(parents=True, exist_ok=True)
    opened = os.open(anchor, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        here = anchor
        for component in components:
            here = here / component
            below = open_directory(component, opened, here, create=create)
            os.close(opened)
            opened = below
        yield opened
    finally:
        os.close(opened)
