# SPDX-License-Identifier: Apache-2.0
"""Image files on this machine while they travel: archives of engines, and SIF files.

They are in a private directory that lasts as long as the run. A file that a host sends is checked
by size and SHA-256, and is never unpacked or run here.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from mlcube_remote.directories import make_private_directory, state_home
from mlcube_remote.errors import TransferError
from mlcube_remote.files.free_space import RESERVE, FreeSpace
from mlcube_remote.files.rsync import IO_TIMEOUT, check
from mlcube_remote.files.staging import PARTIAL
from mlcube_remote.files.transfer_progress import ProgressSink, TransferProgress
from mlcube_remote.formatting import readable_size
from mlcube_remote.transport.base import Connection

_CHUNK = 1024 * 1024
_MAX_AGE_S = 86_400
"""Age at which what a killed client has left is removed."""


@attrs.frozen(kw_only=True)
class ImageFile:
    """A file with an image."""

    path: str
    size: int
    """In bytes."""
    sha256: str
    omitted: int = 0
    """Number of layers, from the lowest one on, that an archive lacks."""


@attrs.frozen
class ImageFolder:
    """The directory of one run for image files, locked as long as it is open."""

    path: Path
    _lock: int

    @classmethod
    def open(cls) -> ImageFolder:
        """Create a directory, and remove those of clients that were killed.

        Raises:
            OSError: It cannot be created.
        """
        top = state_home() / "images"
        make_private_directory(top)
        _remove_left(top)
        path = top / f"run-{secrets.token_hex(8)}"
        path.mkdir(mode=0o700)
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cls(path, lock)

    def close(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _remove_left(top: Path) -> None:
    """Remove directories that no process has locked, and that are a day old."""
    for folder in top.iterdir():
        with contextlib.suppress(OSError):  # locked, or removed by another client
            if time.time() - folder.lstat().st_mtime < _MAX_AGE_S:
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def describe(path: Path) -> ImageFile:
    """Return a file's size and digest.

    Raises:
        OSError: It cannot be read, or is a link.
    """
    digest, size = hashlib.sha256(), 0
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{path} is no file")
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return ImageFile(path=str(path), size=size, sha256=digest.hexdigest())


def fetch(
    connection: Connection,
    remote: ImageFile,
    folder: Path,
    progress: ProgressSink,
    received: Callable[[int], None] | None = None,
) -> ImageFile:
    """Get an image file from a host; a transfer that was cut continues where it was.

    Args:
        connection: The host.
        remote: The file as the host describes it.
        folder: The directory on this machine.
        progress: Called with a text and a fraction.
        received: Called with the number of bytes that have arrived so far.

    Raises:
        TransferError: The file did not arrive as the host described it.
    """
    free = FreeSpace(connection.name, folder).at_start
    if free < remote.size + RESERVE:
        raise TransferError(
            connection.name,
            f"its image needs {readable_size(remote.size)} on this machine, and {folder} has "
            f"{readable_size(free)} free",
            hint="free some space, or set XDG_STATE_HOME to a directory on another disk",
        )
    arguments = [
        f"--partial-dir={PARTIAL}",
        f"--timeout={IO_TIMEOUT}",
        f"--max-size={remote.size}",
        "--chmod=F600",
        "--info=progress2",
        "--no-human-readable",
        "--",
        f"host:{remote.path}",
        f"{folder}/",
    ]
    reader = TransferProgress(progress, received, limit=0)
    result = connection.rsync(arguments, on_stdout=reader.read)
    check(connection.name, "image", result)
    try:
        arrived = describe(folder / Path(remote.path).name)
    except OSError as problem:
        raise TransferError(connection.name, f"its image did not arrive: {problem}") from problem
    if (arrived.size, arrived.sha256) != (remote.size, remote.sha256):
        raise TransferError(connection.name, "its image is not what the host had described")
    return attrs.evolve(arrived, omitted=remote.omitted)
