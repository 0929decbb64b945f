# SPDX-License-Identifier: Apache-2.0
"""The directory for mlcube-remote's own files on this machine.

It follows the XDG rules on every system, macOS included: platformdirs would move it there.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


def state_home() -> Path:
    """Return the directory for what mlcube-remote keeps about this user's runs.

    It is ``mlcube-remote`` in ``$XDG_STATE_HOME``, or in ``~/.local/state`` if the variable is
    not set or holds a relative path.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    parent = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "state"
    return parent / "mlcube-remote"


def make_private_directory(path: Path) -> None:
    """Create a directory that only this user can read, whatever the umask.

    Missing directories above it are created in the same way, as the XDG rules say. In the state
    directory, permissions of other users are also removed from directories that exist.

    Raises:
        OSError: A directory cannot be created, or belongs to another user, who could change what
            is in it.
    """
    top = state_home()
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        try:
            each.mkdir(PRIVATE_DIRECTORY)
        except FileExistsError:
            continue  # another process has just created it
        each.chmod(PRIVATE_DIRECTORY)
    if path.is_relative_to(top):
        for each in (path, *path.parents):
            if each.is_relative_to(top):
                _tighten(each)


def _tighten(path: Path) -> None:
    """Remove the permissions of other users from a directory."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        about = os.fstat(handle)
        if about.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, f"belongs to user {about.st_uid}", str(path))
        if stat.S_IMODE(about.st_mode) & 0o077:
            os.fchmod(handle, stat.S_IMODE(about.st_mode) & PRIVATE_DIRECTORY)
    finally:
        os.close(handle)


def open_private_file(path: Path) -> int:
    """Open a file for writing, created if necessary, that only this user can read.

    Returns:
        A descriptor, which the caller closes.

    Raises:
        OSError: It cannot be opened, or is a link.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, PRIVATE_FILE)
    if stat.S_IMODE(os.fstat(handle).st_mode) != PRIVATE_FILE:
        os.fchmod(handle, PRIVATE_FILE)
    return handle
