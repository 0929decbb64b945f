# SPDX-License-Identifier: Apache-2.0
"""Read files in a thread, while this machine waits for a host."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begin(work: Callable[[], T], name: str) -> Callable[[], T]:
    """Begin to work in a thread, and return a function that waits for the result.

    Args:
        work: Does the work; what it raises is raised by the function that waits.
        name: Name of the thread.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as problem:  # noqa: BLE001 - raised in the thread that needs the result
            future.set_exception(problem)

    # A daemon, because an interrupted command does not wait until large files are read.
    threading.Thread(target=run, name=name, daemon=True).start()
    return future.result
