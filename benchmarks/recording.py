# SPDX-License-Identifier: Apache-2.0
"""Measure what it costs to record where results come from, on a warm and unchanged ``run``.

Pairs of runs of hello_world on one sandbox host: one as it is, and one that reads neither the cube
nor the inputs and records no origin. Each run is a new process, and the two take turns. The
processor time is that of the client and of the programs that it starts. What the host does for a
record is measured alone, because both runs ask for it: the functions of the shell library that
report the machine, many times in one shell.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from contenders import contenders

from mlcube_remote.app import run as app_run
from mlcube_remote.cli.main import execute
from mlcube_remote.dispatch import finish
from mlcube_remote.sandbox import down, up

SHELL_CALLS = 500


def main() -> None:
    """Start a sandbox, run the pairs, and print medians; or be one of the runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--one", choices=["with", "without"], help=argparse.SUPPRESS)
    options, command = parser.parse_known_args()
    if options.one:
        raise SystemExit(_run_once(command, records=options.one == "with"))
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-bench-") as temporary:
        state = Path(temporary) / "sandbox"
        sandbox = up(1, state_dir=state, note=lambda text: print(text, file=sys.stderr))
        try:
            _measure(contenders(sandbox.hosts, state, None)[0].argv[1:], options.pairs)
        finally:
            down(state_dir=state)


def _measure(argv: Sequence[str], pairs: int) -> None:
    for _ in range(2):
        _child(argv, "with")
    found = [(_child(argv, "with"), _child(argv, "without")) for _ in range(pairs)]
    for at, name in enumerate(("processor time", "wall-clock time")):
        with_, without = (statistics.median(pair[side][at] for pair in found) for side in (0, 1))
        ratio = statistics.median(pair[0][at] / pair[1][at] for pair in found)
        print(f"{name}: {with_:.3f} s with, {without:.3f} s without, ratio of pairs {ratio:.3f}")
    print(f"on the host: {_shell_seconds() * 1000:.2f} ms of processor time")


def _child(argv: Sequence[str], which: str) -> tuple[float, float]:
    """Return the processor time and the wall-clock time of one run in seconds."""
    done = subprocess.run(
        [sys.executable, __file__, f"--one={which}", *argv], stdout=subprocess.PIPE, check=True
    )
    cpu, wall = json.loads(done.stdout.splitlines()[-1])
    return cpu, wall


def _run_once(argv: Sequence[str], *, records: bool) -> int:
    if not records:
        app_run._begin_reading = lambda _: None  # type: ignore[assignment,return-value] # noqa: SLF001
        finish.describe_origin = lambda *_: None  # type: ignore[attr-defined]
    began = time.perf_counter()
    code = execute(list(argv))
    wall = time.perf_counter() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps([sum(each.ru_utime + each.ru_stime for each in used), wall]), flush=True)
    return code


def _shell_seconds() -> float:
    """Return the processor time of what a host does for one record."""
    library = Path(app_run.__file__).parents[1] / "remote"
    files = " ".join(f". {library / name};" for name in ("common.sh", "machine.sh"))
    script = f"{files} n=0; while [ $n -lt {SHELL_CALLS} ]; do n=$((n + 1)); %s; done"
    times = []
    for body in ("mlcr_report_machine; mlcr_report_stat /etc", ":"):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(["sh", "-c", script % body], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return (times[0] - times[1]) / SHELL_CALLS


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    main()
