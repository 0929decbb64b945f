# SPDX-License-Identifier: Apache-2.0
"""The private directory for the sockets of control masters."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from mlcube_remote.directories import make_private_directory, state_home

_MAX_SOCKET_PATH = 104 - 18
"""Maximum length of a control path in bytes: macOS allows 104, and ssh adds a random suffix."""


def control_directory() -> Path:
    """Return the private directory for the sockets of control masters; create it if needed.

    Raises:
        OSError: It cannot be created, or belongs to another user.
    """
    folder = state_home() / "ssh"
    if len(os.fsencode(folder)) + 1 + 16 > _MAX_SOCKET_PATH:
        folder = Path(tempfile.gettempdir()) / f"mlcube-remote-{os.getuid()}"
        if len(os.fsencode(folder)) + 1 + 16 > _MAX_SOCKET_PATH:
            folder = Path("/tmp") / folder.name  # noqa: S108 - its owner and mode are checked
    make_private_directory(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if folder.is_symlink() or not folder.is_dir() or status.st_uid != os.getuid():
        raise PermissionError(f"{folder}: expected a directory of this user")
    if status.st_mode & 0o077:
        folder.chmod(0o700)
    return folder
