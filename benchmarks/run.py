# SPDX-License-Identifier: Apache-2.0
"""Compare the time of a warm, unchanged ``run`` of hello_world with common alternatives.

Baselines, on the same containers and all hosts in parallel:

``loop``     ``xargs -P`` over ``rsync`` up, ``ssh host docker run``, ``rsync`` down, with OpenSSH.
``bare``     ``xargs -P`` over ``ssh host docker run`` alone, without copies: the minimum.
``ansible``  a playbook of rsync up, the container, rsync down, with as many forks as hosts. Its
             connections stay open for a minute, its default: later rounds need fewer logins.
``docker-ssh``  ``xargs -P`` over ``docker -H ssh://host run`` alone, without copies.

One host is also timed behind a simulated distance, because hosts on the same machine do not show
the cost of a login or a round trip.

The commands take turns (ours, loop, bare, …, ours, …), so that a change in the machine's speed
affects all of them. Adds the medians of the timed rounds to build/bench.json, and the cost for this
machine to build/bench-costs.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
from contenders import Contender, contenders
from costs import Cost, measure_cost, measure_peak_memory
from distance import at_distance
from report import Pair, Row, add_pairs, add_rows, pairs

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
    parser.add_argument("--hosts", type=int, nargs="*", default=[1, 16], metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="up to 16 hosts")
    parser.add_argument("--rounds-of-many", type=int, default=3, metavar="N", help="beyond")
    parser.add_argument("--distances", type=int, nargs="*", default=[20, 50, 100], metavar="MS")
    parser.add_argument("--ansible", type=Path, metavar="ANSIBLE-PLAYBOOK")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-bench-") as temporary:
        state = Path(temporary) / "sandbox"
        sandbox = up(max([1, *options.hosts]), state_dir=state, note=_note)
        try:
            figures: list[Figure] = []
            for count in options.hosts:
                rounds = options.rounds if count <= MANY else options.rounds_of_many
                near = _measure(sandbox.hosts[:count], state, rounds, options.ansible)
                add_pairs(_pairs(near))
                figures += near
            add_rows("bench-costs.json", _costs(figures), key=("contender", "hosts"))
            for round_trip in options.distances:
                with at_distance(sandbox.hosts[0], state, round_trip / 1000) as (host, folder):
                    far = _measure([host], folder, options.rounds, options.ansible)
                add_pairs(_pairs([attrs.evolve(each, round_trip=round_trip) for each in far]))
        finally:
            down(state_dir=state)


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


def _pairs(figures: Sequence[Figure]) -> list[Pair]:
    """Return the pairs of one number of hosts, at one distance."""
    away = f", {figures[0].round_trip} ms away" if figures[0].round_trip else ""
    taken = {figure.contender: figure.seconds for figure in figures}
    return pairs(f"hello_world, warm, no change{away}", taken, hosts=figures[0].hosts)


def _costs(figures: Sequence[Figure]) -> list[Row]:
    """Return the cost of each further host: the difference to one host, if that was measured."""
    alone = {figure.contender: figure for figure in figures if figure.hosts == 1}
    rows: list[Row] = []
    for figure in figures:
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
            cpu_ms = (figure.cpu_seconds - one.cpu_seconds) * 1000 / more
            memory_mb = (figure.memory - one.memory) / 1e6 / more
            row["cpu_ms_per_host"] = round(cpu_ms, 1)
            row["memory_mb_per_host"] = round(memory_mb, 2)
            print(
                f"{figure.contender}, {figure.hosts} hosts: {figure.machine_seconds:.2f} s of "
                f"processor time in all; the client takes {cpu_ms:.1f} ms and {memory_mb:.2f} MB "
                "per further host"
            )
        rows.append(row)
    return rows


def _note(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
