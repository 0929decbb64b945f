# SPDX-License-Identifier: Apache-2.0
"""Results of runs as a table: one row per job, with its parameters and metrics."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import attrs

from mlcube_remote.errors import UsageError
from mlcube_remote.runs.ids import label
from mlcube_remote.ui.tables.fitted import fit_table
from mlcube_remote.ui.text import one_line

Cell = str | int | float | None
Job = Mapping[str, Any]


@attrs.frozen
class Column:
    """A column: its name, and a function that returns the cell of a job."""

    name: str
    cell: Callable[[Job], Cell]
    only_csv: bool = False
    """Whether tables on a terminal omit it."""


_YEAR_10000 = 253_402_300_800
"""Seconds since the epoch; later times of a host's clock are ignored."""


def _time(key: str) -> Callable[[Job], Cell]:
    def cell(job: Job) -> Cell:
        seconds = job.get(key)
        if not isinstance(seconds, int) or not 0 <= seconds < _YEAR_10000:
            return None
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"

    return cell


def _seconds(job: Job) -> Cell:
    """Return the total seconds of a job's tasks, as its host measured them."""
    seconds = [task["seconds"] for task in job["tasks"] if task.get("seconds") is not None]
    return sum(seconds) if seconds else None


_RUN = Column("run", lambda job: job.get("run"))
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
    Column("seconds", _seconds),
)
_FIXED = frozenset(column.name for column in (*_LEFT, *_RIGHT))
_NAMES = frozenset({"run", "job", "host"})
"""Columns that say which job a row is about."""
_REQUIRED = _FIXED - {"job"}
"""Columns that are shown even if they are empty; jobs have names only in sweeps and shards."""

MetricKey = tuple[str, str, str]
"""Task, output, and the metric's key in the output."""


def job_columns(jobs: Sequence[Job]) -> tuple[Column, ...]:
    """Return the columns for these jobs.

    A metric's column is named after its key in the output file, such as ``accuracy`` or
    ``test.loss``. If that is ambiguous, the name starts with the output's name, or with the task's
    name and the output's name.
    """
    parameter_names = dict.fromkeys(name for job in jobs for name in job["parameters"])
    parameters = [_parameter_column(name) for name in parameter_names]
    metrics = {id(job): dict(_metrics(job)) for job in jobs}
    keys = list(dict.fromkeys(key for of_job in metrics.values() for key in of_job))
    names = _metric_names(keys, taken=_FIXED | {column.name for column in parameters})
    metric_columns = [_metric_column(key, names[key], metrics) for key in keys]
    # Only jobs of several runs have an entry for their run.
    runs = (_RUN,) if any(job.get("run") for job in jobs) else ()
    return (*runs, *_LEFT, *parameters, *_RIGHT, *metric_columns)


def _metric_names(keys: Sequence[MetricKey], taken: Collection[str]) -> dict[MetricKey, str]:
    """Return for each metric the shortest name that is unique and not taken."""
    candidates = {key: [".".join(key[-parts:]) for parts in (1, 2, 3)] for key in keys}
    counts = [Counter(names) for names in zip(*candidates.values(), strict=True)]
    return {
        key: next(
            (
                name
                for name, count in zip(names, counts, strict=True)
                if count[name] == 1 and name not in taken
            ),
            names[-1],
        )
        for key, names in candidates.items()
    }


def _metrics(job: Job) -> Iterator[tuple[MetricKey, int | float]]:
    for output in job["outputs"]:
        for key, number in output.get("metrics", {}).items():
            if isinstance(number, (int, float)):
                yield (str(output["task"]), str(output["name"]), key), number


def _parameter_column(name: str) -> Column:
    title = f"parameter.{name}" if name in _FIXED else name
    return Column(title, lambda job: job["parameters"].get(name))


def _metric_column(
    key: MetricKey, name: str, metrics: Mapping[int, Mapping[MetricKey, int | float]]
) -> Column:
    return Column(name, lambda job: metrics[id(job)].get(key))


def sort_jobs(jobs: Sequence[Job], by: str | None) -> list[Job]:
    """Return jobs sorted by a column; a leading ``-`` puts the largest first.

    Jobs without a value in this column always come last.

    Args:
        jobs: The jobs.
        by: Name of a column, or its last part after a dot if that is unambiguous; ``None``: do not
            sort.

    Raises:
        UsageError: There is no such column, or the name is ambiguous.
    """
    if by is None:
        return list(jobs)
    column, is_descending = _sort_column(by, job_columns(jobs))
    cells = [(column.cell(job), job) for job in jobs]
    with_value = [(cell, job) for cell, job in cells if cell is not None]
    with_value.sort(key=lambda pair: _sort_key(pair[0]), reverse=is_descending)
    return [job for _, job in with_value] + [job for cell, job in cells if cell is None]


def _sort_column(by: str, columns: Sequence[Column]) -> tuple[Column, bool]:
    """Return the column to sort by, and whether the largest comes first."""
    is_descending = by.startswith("-") and all(column.name != by for column in columns)
    return find_column(by[1:] if is_descending else by, columns), is_descending


def find_column(name: str, columns: Sequence[Column], option: str = "--sort") -> Column:
    """Return the column with this name, or the only one whose name ends with it or contains it.

    Args:
        name: The name, or a part of it: ``accuracy`` for ``test_accuracy``.
        columns: All columns.
        option: Where the name is from, for the message.

    Raises:
        UsageError: There is no such column, or there are several.
    """
    matches = matching_columns(name, columns)
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(one_line(column.name) for column in matches or columns)
    if matches:
        raise UsageError(f"{option}={name} is ambiguous: {names}", hint="give the full name")
    raise UsageError(f"{option}={name}: no such column", hint=f"columns: {names}")


def matching_columns(name: str, columns: Sequence[Column]) -> list[Column]:
    """Return the columns that a name may mean; see :func:`find_column`."""
    exact = [column for column in columns if column.name == name]
    ends = [column for column in columns if column.name.endswith(f".{name}")]
    return exact or ends or [column for column in columns if name and name in column.name]


def choose_columns(jobs: Sequence[Job], names: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns that a user named, after the names of job and host.

    Raises:
        UsageError: There is no such column, or there are several.
    """
    columns = job_columns(jobs)
    chosen = [find_column(name, columns, "--columns") for name in names]
    first = [column for column in columns if column.name in _NAMES and column not in chosen]
    return (*first, *chosen)


def _sort_key(cell: Cell) -> tuple[int, float, str]:
    """Return a key that sorts numbers, also those in text, before other text."""
    if isinstance(cell, str):
        return (0, float(cell), "") if _NUMBER.fullmatch(cell) else (1, 0.0, cell)
    return (0, float(cell or 0), "")


def results_text(
    jobs: Sequence[Job], names: Sequence[str] = (), sorted_by: str | None = None
) -> str:
    """Return a table, and below it why jobs failed, and which outputs are not of this run.

    Args:
        jobs: The jobs.
        names: Names of the columns to show, as for :func:`find_column`; empty: all that fit.
        sorted_by: The column that the jobs are sorted by, which is always shown.

    Raises:
        UsageError: There is no such column.
    """
    chosen = choose_columns(jobs, names) if names else ()
    columns = [
        column
        for column in chosen or job_columns(jobs)
        if (column in chosen and column.name not in _NAMES)
        or (
            not column.only_csv
            and (column.name in _REQUIRED or any(column.cell(job) is not None for job in jobs))
        )
    ]
    rows = [[one_line(_format_cell(column.cell(job))) for column in columns] for job in jobs]
    header = [one_line(column.name) for column in columns]
    kept = {one_line(column.name) for column in columns if column in chosen} | _NAMES
    if sorted_by is not None:
        kept.add(one_line(_sort_column(sorted_by, job_columns(jobs))[0].name))
    parts = [fit_table(header, rows, kept=kept)]
    if lines := [line for job in jobs if (line := _reason_line(job))]:
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _reason_line(job: Job) -> str:
    """Return why a job failed, and what it left as it was, as one line; else an empty text."""
    reasons = [f"{task['task']}: {task['reason']}" for task in job["tasks"] if task.get("reason")]
    if job["error"]:
        reasons.append(str(job["error"]["message"]).removeprefix(f"{job['host']}: "))
    unchanged = [o["name"] for o in job["outputs"] if o.get("state") == "unchanged"]
    if unchanged:
        reasons.append(f"unchanged, so not of this run: {', '.join(unchanged)}")
    if not reasons:
        return ""
    return one_line(f"{label(job['job'] or '', job['host'] or '')}: {'; '.join(reasons)}")


def _format_cell(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:.6g}"
    return "" if cell is None else str(cell)


def results_rows(jobs: Sequence[Job]) -> list[dict[str, Cell]]:
    """Return each job as column → cell."""
    columns = job_columns(jobs)
    return [{column.name: column.cell(job) for column in columns} for job in jobs]


def results_csv(jobs: Sequence[Job]) -> str:
    """Return the table as CSV: times in UTC, numbers in full precision, no formulas."""
    columns = job_columns(jobs)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_escape_formula(column.name) for column in columns])
    for job in jobs:
        cells = (column.cell(job) for column in columns)
        writer.writerow(
            [_escape_formula(each) if isinstance(each, str) else each for each in cells]
        )
    return file.getvalue()


_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_FORMULA = re.compile(r"\s*[=+\-@\uff0b\uff0d\uff1d\uff20]")


def _escape_formula(text: str) -> str:
    """Return text that a spreadsheet does not read as a formula: such text gets a leading quote."""
    line = one_line(text)
    return f"'{line}" if _FORMULA.match(line) and not _NUMBER.fullmatch(line) else line
