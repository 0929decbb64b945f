# SPDX-License-Identifier: Apache-2.0
"""The runs that this machine has records of, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mlcube_remote.errors import UsageError
from mlcube_remote.ui.host_ranges import format_ranges
from mlcube_remote.ui.tables.columns import format_table
from mlcube_remote.ui.tables.results import find_column, job_columns, matching_columns, sort_jobs
from mlcube_remote.ui.text import one_line

Index = Mapping[str, Any]

_SHORT_ID = 8
"""Number of characters at the end of a run's id, which is enough to name the run."""

_MAX_HOSTS = 24
"""Maximum number of characters of a list of hosts."""


def run_rows(
    indexes: Sequence[Index], best: str | None, names: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return a row for each run: name, when, cube, hosts, state, best.

    Args:
        indexes: The indexes of the results of the runs.
        best: The column whose best value is shown: the smallest, or with a leading ``-`` the
            largest; ``None``: no value is shown.
        names: Run → its name, if it has one.
    """
    rows = []
    for index in indexes:
        jobs = index["jobs"]
        states = Counter(str(job["status"]) for job in jobs)
        hosts = sorted({str(job["host"]) for job in jobs if job["host"]})
        rows.append(
            {
                "run": index["run"],
                "name": names.get(index["run"]) or None,
                "when": index["created"],
                "cube": (index["cube"] or {}).get("name"),
                "hosts": hosts,
                "states": dict(states),
                "best": None if best is None else _best(jobs, best),
            }
        )
    return rows


def _best(jobs: Sequence[Mapping[str, Any]], column: str) -> Any:
    """Return the first value of a sorted column; ``None`` if the run has no such column."""
    try:
        first = sort_jobs(jobs, column)[:1]
        cell = find_column(column.removeprefix("-"), job_columns(jobs)).cell
    except UsageError:
        return None
    return cell(first[0]) if first else None


def best_problem(indexes: Sequence[Index], best: str) -> str | None:
    """Return why runs show no best value, if the name of the column is the reason.

    Args:
        indexes: As for :func:`run_rows`.
        best: As for :func:`run_rows`.
    """
    name = best.removeprefix("-")
    found = [matching_columns(name, job_columns(index["jobs"])) for index in indexes]
    several = [matches for matches in found if len(matches) > 1]
    if several:
        names = dict.fromkeys(one_line(column.name) for matches in several for column in matches)
        runs = "1 run has" if len(several) == 1 else f"{len(several)} runs have"
        return f"--best={best}: {runs} several such columns: {', '.join(names)}"
    if indexes and not any(found):
        return f"--best={best}: no run has such a column"
    return None


def runs_text(
    rows: Sequence[Mapping[str, Any]], best: str | None, *, width: int | None = None
) -> str:
    """Return the rows of :func:`run_rows` as a table.

    Args:
        rows: The rows.
        best: The column whose best value is shown, if any.
        width: Columns of the terminal; ``None``: no limit.
    """
    if not rows:
        return "no run has a record on this machine"
    is_named = any(row["name"] for row in rows)
    header = [
        *("run", *(["name"] if is_named else []), "when", "cube", "hosts", "state"),
        *([f"best {best.lstrip('-')}"] if best else []),
    ]
    lines = []
    for row in rows:
        run, *others = _cells(row)
        name = [row["name"] or ""] if is_named else []
        lines.append([run, *name, *others, *([_format(row["best"])] if best else [])])
    return format_table(
        header,
        [[one_line(cell) for cell in line] for line in lines],
        width=width,
        spare=("when",),
        shrink=("hosts", "cube", "name", "state"),
    )


def _cells(row: Mapping[str, Any]) -> list[str]:
    hosts = format_ranges(row["hosts"])
    states = [
        name if len(row["states"]) == 1 else f"{count} {name}"
        for name, count in row["states"].items()
    ]
    return [
        str(row["run"])[-_SHORT_ID:],
        _local_time(str(row["when"] or "")),
        str(row["cube"] or ""),
        hosts if len(hosts) <= _MAX_HOSTS else f"{len(row['hosts'])} hosts",
        ", ".join(states),
    ]


def _local_time(written: str) -> str:
    """Return a time of a record by the clock of this machine, as ``status`` shows it."""
    try:
        return f"{datetime.fromisoformat(written).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):  # a record that was changed by hand
        return written[:16].replace("T", " ")


def _format(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
