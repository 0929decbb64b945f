# SPDX-License-Identifier: Apache-2.0
"""Measure what a warm, unchanged ``run`` of hello_world costs on its host.

- Processor time of the host: of its SSH server and all that logins start, by its control group. The
  task's container and the engine are outside of it.
- Processor time of the engine: of dockerd and containerd, which include work of other users of the
  engine.
- Processes: how many the host's SSH server and its descendants create, how many programs they
  execute, and how many of these are Docker's client, by strace in three untimed runs.

The ways take turns. Adds the processor times to build/bench.json, and writes
build/bench-host-costs.json. strace needs root, or the right to trace root's processes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs
import docker
import psutil
from contenders import Contender, contenders
from costs import measure_cost
from processes import Started, count_started
from report import Row, add_pairs, add_rows, pairs

from mlcube_remote.sandbox import down, up
from mlcube_remote.sandbox.lifecycle import LABEL

SETTLE_S = 5.0
"""Maximum seconds to wait until a host has ended what a finished run has left to it."""
POLL_INTERVAL_S = 0.05
TRACED_RUNS = 3
ENGINE = ("dockerd", "containerd")


def main() -> None:
    """Start a sandbox, measure, and print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, metavar="N")
    parser.add_argument("--ansible", type=Path, metavar="ANSIBLE-PLAYBOOK")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-bench-") as temporary:
        state = Path(temporary) / "sandbox"
        sandbox = up(1, state_dir=state)
        try:
            (host,) = docker.from_env().containers.list(filters={"label": f"{LABEL}={sandbox.id}"})
            ways = contenders(sandbox.hosts, state, options.ansible)
            _measure(host, ways, options.rounds)
        finally:
            down(state_dir=state)


def _measure(host: Any, ways: tuple[Contender, ...], rounds: int) -> None:
    for way in ways:
        measure_cost(way)  # the first run uploads everything
    server = psutil.Process(host.attrs["State"]["Pid"])
    taken: dict[str, list[tuple[float, float]]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            taken[way.name].append(_processor_seconds(host, server, way))
    median = {
        way: [statistics.median(column) for column in zip(*rows, strict=True)]
        for way, rows in taken.items()
    }
    name = "processor time on the host, hello_world, warm, no change"
    add_pairs(pairs(name, {way: on_host for way, (on_host, _) in median.items()}))
    rows: list[Row] = []
    for way in ways:
        on_host, in_engine = median[way.name]
        row = {
            "contender": way.name,
            **_started(server, way),
            "host_cpu_ms": round(on_host * 1000),
            "engine_cpu_ms": round(in_engine * 1000),
        }
        print(", ".join(f"{what}: {value}" for what, value in row.items()), flush=True)
        rows.append(row)
    add_rows("bench-host-costs.json", rows, key=("contender",))


def _started(server: psutil.Process, way: Contender) -> dict[str, int]:
    """Return the medians of what a host starts for a run."""
    runs = [count_started(server, lambda: _run(server, way)) for _ in range(TRACED_RUNS)]
    columns = zip(*(attrs.astuple(run) for run in runs), strict=True)
    names = [field.name for field in attrs.fields(Started)]
    return dict(zip(names, map(statistics.median_low, columns), strict=True))


def _processor_seconds(host: Any, server: psutil.Process, way: Contender) -> tuple[float, float]:
    """Run a way, and return the seconds of the host and those of the engine."""
    on_host, in_engine = _host_seconds(host), _engine_seconds()
    _run(server, way)
    return _host_seconds(host) - on_host, _engine_seconds() - in_engine


def _run(server: psutil.Process, way: Contender) -> None:
    """Run a way, and wait until the host has ended it: a supervisor may end after the client."""
    before = _processes(server)
    measure_cost(way)
    end = time.monotonic() + SETTLE_S
    # The connection that Ansible keeps open remains.
    while _processes(server) - before and time.monotonic() < end:
        time.sleep(POLL_INTERVAL_S)


def _processes(server: psutil.Process) -> set[psutil.Process]:
    """Return the server's descendants; it is the first process of its host and gets all orphans."""
    return set(server.children(recursive=True))


def _host_seconds(host: Any) -> float:
    usage = host.stats(stream=False, one_shot=True)["cpu_stats"]["cpu_usage"]["total_usage"]
    return float(usage) / 1e9


def _engine_seconds() -> float:
    found = [each for each in psutil.process_iter(["name"]) if each.info["name"] in ENGINE]
    return float(sum(sum(each.cpu_times()[:2]) for each in found))


if __name__ == "__main__":
    main()
