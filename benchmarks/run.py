# SPDX-License-Identifier: Apache-2.0
"""Compare the time of a warm, unchanged ``run`` of hello_world with common alternatives.

Baselines, on the same containers and all hosts in parallel:

``loop``     ``xargs -P`` over ``rsync`` up, ``ssh host docker run``, ``rsync`` down, with OpenSSH.
``bare``     ``xargs -P`` over ``ssh host docker run`` alone, without copies: the minimum.
``ansible``  a playbook of rsync up, the container, rsync down, with as many forks as hosts. Its
             connections stay open for a minute, its default: later rounds need fewer logins.

One host is also timed behind a simulated distance, because hosts on the same machine do not show
the cost of a login or a round trip.

The commands take turns (ours, loop, bare, …, ours, …), so that a change in the machine's speed
affects all of them. Writes build/bench.json, a list of {name, hosts, ours_s, baseline, baseline_s,
ratio} with medians of the timed rounds; and build/bench-costs.json, the cost for this machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
from contenders import ROOT, Contender, contenders
from costs import Cost, measure_cost, measure_peak_memory
from distance import at_distance

from mlcube_remote.sandbox import SandboxHost, down, up

MANY = 16
"""With more hosts than these, a round takes minutes, so there are fewer rounds."""


@attrs.frozen
class Figure:
    """The medians of one contender's rounds on a number of hosts."""

    contender: str
    hosts: int
    seconds: float
    cpu_seconds: float
    machine_seconds: float
    memory: int
    """Peak memory in bytes."""
    round_trip: int = 0
    """Simulated round trip to the hosts in milliseconds."""


def main() -> None:
    """Start a sandbox, measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 16, 64, 128], metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="up to 16 hosts")
    parser.add_argument("--rounds-of-many", type=int, default=3, metavar="N", help="beyond")
    parser.add_argument("--distances", type=int, nargs="*", default=[20, 50, 100], metavar="MS")
    parser.add_argument("--ansible", type=Path, metavar="ANSIBLE-PLAYBOOK")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-bench-") as temporary:
        state = Path(temporary) / "sandbox"
        sandbox = up(max(options.hosts), state_dir=state, note=_note)
        try:
            figures = []
            for count in options.hosts:
                rounds = options.rounds if count <= MANY else options.rounds_of_many
                figures += _measure(sandbox.hosts[:count], state, rounds, options.ansible)
            for round_trip in options.distances:
                with at_distance(sandbox.hosts[0], state, round_trip / 1000) as (host, folder):
                    distant = _measure([host], folder, options.rounds, options.ansible)
                figures += [attrs.evolve(figure, round_trip=round_trip) for figure in distant]
        finally:
            down(state_dir=state)
    _write("bench.json", _ratios(figures))
    _write("bench-costs.json", _costs(figures))


def _measure(
    hosts: Sequence[SandboxHost], state: Path, rounds: int, ansible: Path | None
) -> list[Figure]:
    ways = contenders(hosts, state, ansible)
    # The first run, which must upload everything, is not timed.
    memory = {way.name: measure_peak_memory(way) for way in ways}
    costs: dict[str, list[Cost]] = {way.name: [] for way in ways}
    for number in range(rounds):
        _note(f"{len(hosts)} hosts, round {number + 1} of {rounds}")
        for way in ways:
            costs[way.name].append(measure_cost(way))
    return [_figure(way, len(hosts), costs[way.name], memory[way.name]) for way in ways]


def _figure(way: Contender, hosts: int, costs: Sequence[Cost], memory: int) -> Figure:
    return Figure(
        contender=way.name,
        hosts=hosts,
        seconds=statistics.median(cost.seconds for cost in costs),
        cpu_seconds=statistics.median(cost.cpu_seconds for cost in costs),
        machine_seconds=statistics.median(cost.machine_seconds for cost in costs),
        memory=memory,
    )


def _ratios(figures: Sequence[Figure]) -> list[dict[str, str | int | float]]:
    ours = {
        (figure.hosts, figure.round_trip): figure.seconds
        for figure in figures
        if figure.contender == "ours"
    }
    rows: list[dict[str, str | int | float]] = []
    for other in figures:
        if other.contender == "ours":
            continue
        seconds = ours[other.hosts, other.round_trip]
        away = f", {other.round_trip} ms away" if other.round_trip else ""
        rows.append(
            {
                "name": f"hello_world, warm, no change{away}",
                "hosts": other.hosts,
                "ours_s": round(seconds, 3),
                "baseline": other.contender,
                "baseline_s": round(other.seconds, 3),
                "ratio": round(seconds / other.seconds, 3),
            }
        )
    for row in rows:
        print(
            "{name} on {hosts:>3} hosts: {ours_s:6.2f} s, {baseline:<7} {baseline_s:6.2f} s, "
            "ratio {ratio:.2f}".format(**row)
        )
    return rows


def _costs(figures: Sequence[Figure]) -> list[dict[str, str | int | float]]:
    """Return the cost of each further host: the difference to one host, if that was measured."""
    near = [figure for figure in figures if not figure.round_trip]
    alone = {figure.contender: figure for figure in near if figure.hosts == 1}
    rows: list[dict[str, str | int | float]] = []
    for figure in near:
        row: dict[str, str | int | float] = {
            "contender": figure.contender,
            "hosts": figure.hosts,
            "cpu_ms": round(figure.cpu_seconds * 1000),
            "machine_cpu_ms": round(figure.machine_seconds * 1000),
            "memory_mb": round(figure.memory / 1e6, 1),
        }
        one = alone.get(figure.contender)
        if one is not None and figure.hosts > 1:
            more = figure.hosts - 1
            row["cpu_ms_per_host"] = round((figure.cpu_seconds - one.cpu_seconds) * 1000 / more, 1)
            row["memory_mb_per_host"] = round((figure.memory - one.memory) / 1e6 / more, 2)
            print(
                "{contender:<7} on {hosts:>3} hosts: {machine_cpu_ms} ms of processor time in all; "
                "the client takes {cpu_ms_per_host:.1f} ms and {memory_mb_per_host:.2f} MB per "
                "further host".format(**row)
            )
        rows.append(row)
    return rows


def _write(name: str, rows: object) -> None:
    target = ROOT / "build" / name
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows, indent=2) + "\n")
    print(f"written to {target.relative_to(ROOT)}")


def _note(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
