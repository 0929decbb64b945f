# SPDX-License-Identifier: Apache-2.0
"""The cost of a command and its child processes: seconds, processor time and memory."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import time

import attrs
import psutil
from contenders import Contender

POLL_INTERVAL_S = 0.02
"""Seconds between two measurements of the memory."""


@attrs.frozen
class Cost:
    """The cost of one execution."""

    seconds: float
    cpu_seconds: float
    """User and system time of the command and of its descendants."""
    machine_seconds: float
    """User and system time of the whole machine, including the hosts and their engine."""


def measure_cost(contender: Contender) -> Cost:
    """Run a contender to its end, and return its cost.

    Raises:
        CalledProcessError: It failed, so its cost means nothing.
    """
    cpu, machine, start = _cpu_of_children(), _machine_seconds(), time.monotonic()
    _finish(contender.start(), contender)
    return Cost(time.monotonic() - start, _cpu_of_children() - cpu, _machine_seconds() - machine)


def measure_peak_memory(contender: Contender) -> int:
    """Run a contender to its end, and return the peak memory of its processes in bytes.

    Pages that processes share are counted once (PSS). Measuring memory takes time, so this run is
    not timed.

    Raises:
        CalledProcessError: It failed.
    """
    child = contender.start()
    root, peak = psutil.Process(child.pid), 0
    while child.poll() is None:
        peak = max(peak, _memory_below(root))
        time.sleep(POLL_INTERVAL_S)
    _finish(child, contender)
    return peak


def _finish(child: subprocess.Popen[bytes], contender: Contender) -> None:
    if code := child.wait():
        raise subprocess.CalledProcessError(code, contender.argv)


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def _memory_below(root: psutil.Process) -> int:
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_full_info().pss
    return total
