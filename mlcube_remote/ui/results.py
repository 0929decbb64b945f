# SPDX-License-Identifier: Apache-2.0
"""An index of results as a table: a row per job, what it was given, and the numbers it came to."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import attrs

from mlcube_remote.errors import UsageError
from mlcube_remote.runs.ids import label
from mlcube_remote.ui.table import columns
from mlcube_remote.ui.text import one_line

Cell = str | int | float | None
Job = Mapping[str, Any]


@attrs.frozen
class Column:
    """One column: its name, and a job's cell in it."""

    name: str
    cell: Callable[[Job], Cell]
    only_csv: bool = False
    """Whether it is too much for a terminal."""


_YEAR_10000 = 253_402_300_800
"""Seconds since the epoch; a host's clock may say anything."""


def _time(key: str) -> Callable[[Job], Cell]:
    def cell(job: Job) -> Cell:
        seconds = job.get(key)
        if not isinstance(seconds, int) or not 0 <= seconds < _YEAR_10000:
            return None
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"

    return cell


def _took(job: Job) -> Cell:
    """Return the seconds of a job's tasks, which the host has measured."""
    told = [task["seconds"] for task in job["tasks"] if task.get("seconds") is not None]
    return sum(told) if told else None


_LEFT = (
    Column("id", lambda job: job["id"], only_csv=True),
    Column("job", lambda job: job["job"]),
    Column("host", lambda job: job["host"]),
    Column("platform", lambda job: job["platform"], only_csv=True),
)
_RIGHT = (
    Column("result", lambda job: job["status"]),
    Column("exit", lambda job: job["exit_code"]),
    Column("started", _time("started"), only_csv=True),
    Column("finished", _time("finished"), only_csv=True),
    Column("seconds", _took),
)
_FIXED = frozenset(column.name for column in (*_LEFT, *_RIGHT))
_ALWAYS = _FIXED - {"job"}
"""Columns that are shown even where they are empty: jobs have names only in sweeps and shards."""


def job_columns(jobs: Sequence[Job]) -> tuple[Column, ...]:
    """Return the columns that these jobs fill.

    A number is called by its key in its file, such as ``accuracy`` or ``test.loss``. Where that
    means several things, the output's name is put in front, and the task's if that is not enough.
    """
    given = [
        _parameter(name) for name in dict.fromkeys(n for job in jobs for n in job["parameters"])
    ]
    taken = _FIXED | {column.name for column in given}
    numbers = {id(job): dict(_numbers(job)) for job in jobs}
    every = list(dict.fromkeys(where for told in numbers.values() for where in told))
    ways = [Counter(_called(where, words) for where in every) for words in (1, 2, 3)]
    found = []
    for where in every:
        names = [(_called(where, words), ways[words - 1]) for words in (1, 2, 3)]
        fitting = [name for name, counts in names if counts[name] == 1 and name not in taken]
        found.append(_metric(where, fitting[0] if fitting else names[-1][0], numbers))
    return (*_LEFT, *given, *_RIGHT, *found)


Where = tuple[str, str, str]
"""Task, output, and the number's key in it."""


def _called(where: Where, words: int) -> str:
    return ".".join(where[-words:])


def _numbers(job: Job) -> Iterator[tuple[Where, int | float]]:
    for output in job["outputs"]:
        for key, number in output.get("metrics", {}).items():
            if isinstance(number, (int, float)):
                yield (str(output["task"]), str(output["name"]), key), number


def _parameter(name: str) -> Column:
    shown = f"parameter.{name}" if name in _FIXED else name
    return Column(shown, lambda job: job["parameters"].get(name))


def _metric(where: Where, name: str, numbers: Mapping[int, Mapping[Where, int | float]]) -> Column:
    return Column(name, lambda job: numbers[id(job)].get(where))


def ordered(jobs: Sequence[Job], by: str | None) -> list[Job]:
    """Return jobs in the order of a column; a leading ``-`` puts the largest first.

    Jobs that have nothing in that column come last, either way.

    Args:
        jobs: The jobs.
        by: Name of a column, or its end behind a dot where that is clear; ``None``: as they are.

    Raises:
        UsageError: There is no such column.
    """
    if by is None:
        return list(jobs)
    every = job_columns(jobs)
    falling = by.startswith("-") and all(column.name != by for column in every)
    column = _meant(by[1:] if falling else by, every)
    cells = [(column.cell(job), job) for job in jobs]
    full = [(cell, job) for cell, job in cells if cell is not None]
    full.sort(key=lambda pair: _rank(pair[0]), reverse=falling)
    return [job for _, job in full] + [job for cell, job in cells if cell is None]


def _meant(name: str, every: Sequence[Column]) -> Column:
    exact = [column for column in every if column.name == name]
    ends = exact or [column for column in every if column.name.endswith(f".{name}")]
    if len(ends) == 1:
        return ends[0]
    names = ", ".join(one_line(column.name) for column in ends or every)
    if ends:
        raise UsageError(f"--sort={name} may be any of {names}", hint="give the whole name")
    raise UsageError(f"--sort={name}: no such column", hint=f"there are: {names}")


def _rank(cell: Cell) -> tuple[int, float, str]:
    """Return what cells are sorted by: numbers, and words that are such, before other words."""
    if isinstance(cell, str):
        return (0, float(cell), "") if _NUMBER.fullmatch(cell) else (1, 0.0, cell)
    return (0, float(cell or 0), "")


def results_text(jobs: Sequence[Job]) -> str:
    """Return a table for people, and below it why jobs failed."""
    shown = [column for column in job_columns(jobs) if not column.only_csv]
    filled = [
        column
        for column in shown
        if column.name in _ALWAYS or any(column.cell(job) is not None for job in jobs)
    ]
    rows = [[one_line(_shown(column.cell(job))) for column in filled] for job in jobs]
    parts = [columns([one_line(column.name) for column in filled], rows)]
    if reasons := [f"{_label(job)}: {why}" for job in jobs if (why := _reason(job))]:
        parts.append("\n".join(map(one_line, reasons)))
    return "\n\n".join(parts)


def _label(job: Job) -> str:
    return label(job["job"] or "", job["host"] or "")


def _reason(job: Job) -> str:
    told = [f"{task['task']}: {task['reason']}" for task in job["tasks"] if task.get("reason")]
    if job["error"]:
        told.append(str(job["error"]["message"]).removeprefix(f"{job['host']}: "))
    return "; ".join(told)


def _shown(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:.6g}"
    return "" if cell is None else str(cell)


def results_rows(jobs: Sequence[Job]) -> list[dict[str, Cell]]:
    """Return the table for programs: column → cell."""
    every = job_columns(jobs)
    return [{column.name: column.cell(job) for column in every} for job in jobs]


def results_csv(jobs: Sequence[Job]) -> str:
    """Return the table for spreadsheets: times are UTC, numbers whole, and nothing is a formula."""
    every = job_columns(jobs)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_harmless(column.name) for column in every])
    for job in jobs:
        cells = (column.cell(job) for column in every)
        writer.writerow([_harmless(cell) if isinstance(cell, str) else cell for cell in cells])
    return file.getvalue()


_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_FORMULA = re.compile(r"\s*[=+\-@\uff0b\uff0d\uff1d\uff20]")


def _harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: a quote in front makes it text."""
    line = one_line(text)
    return f"'{line}" if _FORMULA.match(line) and not _NUMBER.fullmatch(line) else line
