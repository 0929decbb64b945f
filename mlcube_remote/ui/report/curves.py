# SPDX-License-Identifier: Apache-2.0
"""Curves in the outputs of jobs: JSONL and CSV files with a row for each step."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlcube_remote.ui.report.charts import Chart, Point, draw

MAX_BYTES = 1024 * 1024
"""Size of a file from which it is data, and not a curve."""
MAX_CHARTS, MAX_SERIES, MAX_POINTS = 12, 20, 200
_MAX_FILES = 20
"""Number of files of an output that are looked at."""

_STEPS = ("step", "global_step", "epoch", "iteration", "iter")
_SUFFIXES = {".jsonl", ".ndjson", ".csv"}

Row = Mapping[str, float]


def draw_curves(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Chart]:
    """Return a picture for each number that outputs have step by step.

    Args:
        rows: (label, attempt) of each job. Files that cannot be read have no curves.
    """
    curves: dict[str, dict[str, list[Point]]] = {}
    for label, attempt in rows:
        for title, path in _files(attempt):
            for name, points in _curves(_read(path)).items():
                series = curves.setdefault(f"{title}: {name}", {})
                if len(series) < MAX_SERIES:
                    series[label] = points
    charts = (draw(title, ("step", ""), series) for title, series in curves.items())
    return [chart for chart in charts if chart is not None][:MAX_CHARTS]


def _files(attempt: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield (title, path): jobs have the same titles, and may have other names of files."""
    for output in attempt["outputs"]:
        path = Path(output["path"])
        if output.get("state") == "unchanged":
            continue
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES)
            found = [
                (f"{output['name']}/{each.relative_to(path)}", each) for each in inside[:_MAX_FILES]
            ]
        else:
            found = [(str(output["name"]), path)]
        yield from (each for each in found if each[1].suffix in _SUFFIXES and each[1].is_file())


def _read(path: Path) -> list[Row]:
    try:
        if path.stat().st_size > MAX_BYTES:
            return []
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".csv":
            return [_numbers(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
        return [_numbers(json.loads(line)) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError, csv.Error):
        return []


def _numbers(row: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in row.items() if isinstance(row, dict) else ():
        if isinstance(value, bool) or not isinstance(key, str):
            continue
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(number):
            found[key] = number
    return found


def _curves(rows: Sequence[Row]) -> dict[str, list[Point]]:
    """Return name → points; a number that only one row has is no curve."""
    step = next((name for name in _STEPS if any(name in row for row in rows)), None)
    curves: dict[str, list[Point]] = {}
    for index, row in enumerate(rows):
        x = float(index) if step is None else row.get(step, float(index))
        for name, value in row.items():
            if name != step:
                curves.setdefault(name, []).append((x, value))
    return {name: _thin(points) for name, points in curves.items() if len(points) > 1}


def _thin(points: list[Point]) -> list[Point]:
    """Return at most some hundred points, the last one included."""
    every = math.ceil(len(points) / MAX_POINTS)
    return points if every == 1 else [*points[:-1:every], points[-1]]
