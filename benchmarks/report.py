# SPDX-License-Identifier: Apache-2.0
"""Write and print what was measured; each part adds its figures to those of the other parts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

BUILD = Path(__file__).parent.parent / "build"
PAIRS = "bench.json"

Row = Mapping[str, str | int | float]


@attrs.frozen(kw_only=True)
class Pair:
    """One figure of ours beside the same figure of something else."""

    name: str
    """What was measured."""
    hosts: int = 1
    ours_s: float
    baseline: str
    baseline_s: float

    @property
    def row(self) -> Row:
        """The form of an entry in build/bench.json."""
        return {
            "name": self.name,
            "hosts": self.hosts,
            "ours_s": round(self.ours_s, 3),
            "baseline": self.baseline,
            "baseline_s": round(self.baseline_s, 3),
            "ratio": round(self.ours_s / self.baseline_s, 3),
        }


def pairs(name: str, taken: Mapping[str, float], *, hosts: int = 1) -> list[Pair]:
    """Return a pair of ``taken["ours"]`` and each other figure, in seconds."""
    return [
        Pair(name=name, hosts=hosts, ours_s=taken["ours"], baseline=other, baseline_s=seconds)
        for other, seconds in taken.items()
        if other != "ours"
    ]


def add_pairs(added: Sequence[Pair]) -> None:
    """Print pairs, and add them to build/bench.json."""
    for pair in added:
        print(
            f"{pair.name}, {pair.hosts} hosts: {pair.ours_s:.2f} s, {pair.baseline} "
            f"{pair.baseline_s:.2f} s, ratio {pair.ours_s / pair.baseline_s:.2f}",
            flush=True,
        )
    add_rows(PAIRS, [pair.row for pair in added], key=("name", "hosts", "baseline"))


def add_rows(file: str, added: Sequence[Row], *, key: Sequence[str]) -> None:
    """Add rows to a list in the folder build; a row with the same values of ``key`` is replaced."""
    target = BUILD / file
    rows: list[Row] = json.loads(target.read_text()) if target.exists() else []
    replaced = {tuple(row[name] for name in key) for row in added}
    kept = [row for row in rows if tuple(row.get(name) for name in key) not in replaced]
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps([*kept, *added], indent=2) + "\n")
