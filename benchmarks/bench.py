# SPDX-License-Identifier: Apache-2.0
"""Run the parts of the benchmark, one after the other, each for a limited time.

A part that fails or takes too long does not end the others; what it has measured is kept.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
from report import BUILD, PAIRS, Row, add_rows

HERE = Path(__file__).parent
CLEANUP_S = 120
"""Seconds in which a part that is stopped must have removed its sandbox."""


@attrs.frozen(kw_only=True)
class Part:
    """One script with its options."""

    about: str
    script: str
    options: tuple[str, ...] = ()
    quick: tuple[str, ...]
    """Options for a short trial, whose figures mean nothing."""
    limit_min: int
    is_default: bool = True
    has_ansible: bool = False


ONCE = ("--rounds=1",)
PARTS = {
    "hosts": Part(
        about="a warm run on 1 and 16 hosts",
        script="run.py",
        options=("--hosts", "1", "16", "--distances"),
        quick=(*ONCE, "--hosts", "1", "2", "--distances"),
        limit_min=15,
        has_ansible=True,
    ),
    "distances": Part(
        about="a warm run on a host that is 20, 50 and 100 ms away",
        script="run.py",
        options=("--hosts", "--distances", "20", "50", "100"),
        quick=(*ONCE, "--hosts", "--distances", "100"),
        limit_min=15,
        has_ansible=True,
    ),
    "round-trips": Part(
        about="the round trips of a warm run", script="round_trips.py", quick=(), limit_min=8
    ),
    "host-costs": Part(
        about="processes and processor time on the host",
        script="host_costs.py",
        quick=ONCE,
        limit_min=15,
        has_ansible=True,
    ),
    "large-files": Part(
        about="1 GiB up and down",
        script="large_files.py",
        quick=(*ONCE, "--size=32"),
        limit_min=25,
    ),
    "small-files": Part(
        about="2,000 and 20,000 small files up and down",
        script="small_files.py",
        quick=(*ONCE, "--files", "500"),
        limit_min=15,
    ),
    "logs": Part(
        about="1.5 million lines of output",
        script="logs.py",
        quick=(*ONCE, "--lines=20000"),
        limit_min=15,
    ),
    "sweep": Part(
        about="250 jobs on four hosts",
        script="sweep.py",
        quick=("--jobs=8", "--hosts=2", "--slots=2"),
        limit_min=20,
    ),
    "slurm": Part(
        about="the first line of a batch job", script="slurm.py", quick=ONCE, limit_min=10
    ),
    "growth": Part(
        about="planning 100, 1,000 and 10,000 jobs",
        script="growth.py",
        quick=("--jobs", "100"),
        limit_min=10,
    ),
    "many-hosts": Part(
        about="a warm run on 64 and 128 hosts",
        script="run.py",
        options=("--hosts", "1", "64", "128", "--distances"),
        quick=(*ONCE, "--rounds-of-many=1", "--hosts", "1", "17", "--distances"),
        limit_min=60,
        is_default=False,
        has_ansible=True,
    ),
    "many-files": Part(
        about="200,000 small files up and down",
        script="small_files.py",
        options=(*ONCE, "--files", "200000"),
        quick=(*ONCE, "--files", "2000"),
        limit_min=20,
        is_default=False,
    ),
}
"""All parts, in the order in which they run."""


def main() -> None:
    """Run the parts, and fail if one has failed."""
    options = _options()
    # A shell starts background jobs with this signal ignored, and the parts would inherit that.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    names = [name for name, part in PARTS.items() if part.is_default]
    if options.parts:
        names = [name for name in PARTS if "all" in options.parts or name in options.parts]
    else:
        (BUILD / PAIRS).unlink(missing_ok=True)
    ends = {}
    for number, name in enumerate(names, start=1):
        print(f"== part {number} of {len(names)}, {name}: {PARTS[name].about}", flush=True)
        began = time.monotonic()
        ends[name] = _run(PARTS[name], _argv(PARTS[name], options))
        minutes = round((time.monotonic() - began) / 60, 1)
        print(f"== {name}: {ends[name]} after {minutes} minutes", flush=True)
        row: Row = {"part": name, "end": ends[name], "minutes": minutes}
        add_rows("bench-parts.json", [row], key=("part",))
    if failed := [f"{name} ({end})" for name, end in ends.items() if end != "done"]:
        sys.exit(f"not all parts have ended well: {', '.join(failed)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"default: all but {' and '.join(n for n, p in PARTS.items() if not p.is_default)}; "
        f"parts: {', '.join(PARTS)}, all",
    )
    parser.add_argument("--quick", action="store_true", help="try the parts; figures mean nothing")
    parser.add_argument("--ansible", type=Path, metavar="ANSIBLE-PLAYBOOK")
    options = parser.parse_args()
    if unknown := set(options.parts) - {*PARTS, "all"}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; parts: {', '.join(PARTS)}, all")
    return options


def _argv(part: Part, options: argparse.Namespace) -> list[str]:
    argv = [sys.executable, str(HERE / part.script)]
    argv += part.quick if options.quick else part.options
    if part.has_ansible and options.ansible:
        argv.append(f"--ansible={options.ansible}")
    return argv


def _run(part: Part, argv: Sequence[str]) -> str:
    """Run a part, and return how it ended.

    Its processes have a group of their own, so that all of them are interrupted at the limit.
    """
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(argv, env=env, start_new_session=True) as child:
        try:
            code = child.wait(part.limit_min * 60)
        except subprocess.TimeoutExpired:
            _stop(child)
            return f"stopped at its limit of {part.limit_min} minutes"
        except KeyboardInterrupt:
            _stop(child)
            raise
    return "done" if code == 0 else f"failed with exit code {code}"


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Interrupt a part, which then removes its sandbox."""
    os.killpg(child.pid, signal.SIGINT)
    try:
        child.wait(CLEANUP_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
