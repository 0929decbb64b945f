# SPDX-License-Identifier: Apache-2.0
"""One process of this user at a time, on this machine."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlcube_remote.runs.store import RecordError, state_home


def take(handle: int, waiting: Callable[[], None]) -> None:
    """Lock an open file; call *waiting* when somebody else has it, and wait until they have not."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(handle, fcntl.LOCK_EX)


@contextmanager
def alone(name: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a name for as long as the block lasts; others wait, and a process that dies holds none.

    Args:
        name: What is held.
        waiting: Called when somebody else holds it; what takes no time needs none.

    Raises:
        RecordError: There is no place for the lock.
    """
    folder = state_home() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / name).open("w")
    except OSError as problem:
        raise RecordError(
            f"nothing can be locked: {problem.filename}: {problem.strerror}",
            hint=f"make {folder} writable, or point XDG_STATE_HOME elsewhere",
        ) from problem
    with lock:
        take(lock.fileno(), waiting)
        yield
