# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there at all, whatever happens while they are written."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_whole(path: Path, text: str, *, mode: int = 0o600, durable: bool = False) -> None:
    """Put a text in the place of a file, by rename.

    Args:
        path: The file, in a folder that is there.
        text: What it is to hold, in UTF-8.
        mode: Permissions, which the umask narrows.
        durable: Whether it must be on the disk, whatever happens to this machine, when this
            returns.

    Raises:
        OSError: It cannot be written; what was there is untouched.
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
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
