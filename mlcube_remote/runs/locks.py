# SPDX-License-Identifier: Apache-2.0
"""Locks between the processes of this user on this machine.

They are ``flock`` locks: the kernel releases them when a process dies. The filelock package has
the same locks, but it polls while it waits.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlcube_remote.directories import make_private_directory, open_private_file, state_home
from mlcube_remote.errors import RecordError


def acquire(handle: int, on_wait: Callable[[], None]) -> None:
    """Lock an open file, waiting until no other process has it locked.

    Args:
        handle: The file's descriptor; closing it releases the lock.
        on_wait: Called once if another process has the lock.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(handle, fcntl.LOCK_EX)


@contextmanager
def exclusive(name: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a named lock while the block runs; other processes wait for it.

    Args:
        name: The lock's name.
        on_wait: Called once if another process has the lock.

    Raises:
        RecordError: The lock's file cannot be created.
    """
    directory = state_home() / "locks"
    try:
        make_private_directory(directory)
        handle = open_private_file(directory / name)
    except OSError as problem:
        raise RecordError.not_writable(
            "nothing can be locked",
            problem,
            hint=f"make {directory} writable, or set XDG_STATE_HOME to another directory",
        ) from problem
    try:
        acquire(handle, on_wait)
        yield
    finally:
        os.close(handle)
