# SPDX-License-Identifier: Apache-2.0
"""One process of this user at a time, on this machine."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from mlcube_remote.runs.store import RecordError, state_home


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold a name for as long as the block lasts; others wait, and a process that dies holds none.

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
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
