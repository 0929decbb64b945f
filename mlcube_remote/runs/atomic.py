# SPDX-License-Identifier: Apache-2.0
"""Write files atomically: a reader sees the old or the new content, never a part of it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomically(path: Path, text: str, *, mode: int = 0o600, durable: bool = False) -> None:
    """Write a temporary file, then rename it to its final name.

    Args:
        path: The file; its directory must exist.
        text: The new content, written as UTF-8.
        mode: Permissions before the umask.
        durable: Whether to sync the content to the disk, so that it survives a power failure.

    Raises:
        OSError: The file cannot be written; the old content is unchanged.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
