# SPDX-License-Identifier: Apache-2.0
"""Limit and end the rsync processes on this machine."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import subprocess
import time

MIN_MEMORY = 2 * 1024**3
"""Memory that an rsync on this machine may use at least; it may use half of the machine's."""

OUT_OF_MEMORY = 22
"""Exit status of an rsync that reached its limit; the host's rsync then ends without a status."""

_CHUNK = 128 * 1024
_END_TIMEOUT_S = 10.0


def limit_memory(process: subprocess.Popen[bytes]) -> None:
    """Limit the memory of rsync, which keeps the list of files that a host sends without end."""
    if hasattr(resource, "prlimit"):  # only Linux can limit another process
        half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        limit = max(MIN_MEMORY, half)
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            _, most = resource.prlimit(process.pid, resource.RLIMIT_AS)
            if most == resource.RLIM_INFINITY or most > limit:
                resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))


def wait_for_children(process: subprocess.Popen[bytes]) -> None:
    """Wait until the children of a killed rsync have ended, then close its output.

    The child that writes the files ends when the remote shell does. Until then it would write
    into a directory that the caller removes.
    """
    deadline = time.monotonic() + _END_TIMEOUT_S
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None  # noqa: S101 - for the type checker
        with pipe:
            # All of them have the pipe open.
            poller = select.poll()
            poller.register(pipe, select.POLLIN)
            while (left := deadline - time.monotonic()) > 0:
                if poller.poll(left * 1000) and not os.read(pipe.fileno(), _CHUNK):
                    break
