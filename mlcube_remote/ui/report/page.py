# SPDX-License-Identifier: Apache-2.0
"""Build the report of a run from the records of its attempts."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import attrs
import jinja2
from markupsafe import Markup

from mlcube_remote._version import __version__
from mlcube_remote.runs.attempts import job_name, latest_attempts
from mlcube_remote.runs.ids import label
from mlcube_remote.ui.report.charts import Chart, draw
from mlcube_remote.ui.report.curves import draw_curves
from mlcube_remote.ui.report.timeline import draw_timeline, local_time
from mlcube_remote.ui.tables.results import Column, job_columns
from mlcube_remote.ui.text import sanitise

Document = Mapping[str, Any]

MAX_LOGS = 60
"""Number of jobs whose logs are shown; failed jobs come first."""
_MAX_CHARTS = 24
_FACTS = (
    ("image", ("image", "name")),
    ("image id", ("image", "id")),
    ("SIF file", ("image", "sha256")),
    ("cube", ("cube", "sha256")),
    ("commit", ("cube", "git")),
    ("engine", ("engine", "version")),
    ("kernel", ("host", "kernel")),
    ("processor", ("host", "cpu")),
    ("GPUs", ("host", "gpus")),
    ("GPU driver", ("host", "gpu_driver")),
    ("mlcube-remote", ("client", "version")),
)
"""Name and place of the facts that are shown for all jobs together."""


@attrs.frozen(kw_only=True)
class LiveState:
    """What a report says about a run that is still running."""

    at: str
    """Time of the report, as shown."""
    unfinished: Mapping[str, str]
    """Name of a job that has not ended → what it does now."""
    refresh_s: int
    """Seconds after which a browser loads the page again."""
    ended: int
    """Number of jobs that have ended."""


def render_report(
    attempts: list[dict[str, Any]], index: Document, live: LiveState | None = None
) -> str:
    """Return the report as HTML.

    Args:
        attempts: The record of each attempt.
        index: The index of the run's results, which also names jobs without a record.
        live: What else is known if the run is still running; ``None``: it is over.
    """
    unfinished = {} if live is None else live.unfinished
    last = _failures_first(
        [_with_state(job, unfinished) for job in _all_jobs(attempts, index)], unfinished
    )
    rows = [(_label(attempt), attempt) for attempt in last]
    lines, took = draw_timeline(rows)
    jobs = [_table_job(attempt, index) for attempt in last]
    columns = [
        column
        for column in job_columns(jobs)
        if not column.only_csv and any(column.cell(job) is not None for job in jobs)
    ]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=_finalize, trim_blocks=True
    )
    script = _asset("report.js")
    return environment.from_string(_asset("report.html.j2")).render(
        run=index["run"],
        created=local_time(index["created"]),
        cube=index["cube"] or {},
        client=index["client"],
        version=__version__,
        took=took,
        states=Counter(str(attempt["status"]) for attempt in last),
        badges={"succeeded": "good", **dict.fromkeys(unfinished.values(), "soft")},
        live=live,
        failures=_failures([row for row in rows if _has_failed(row[1], unfinished)]),
        lines=lines,
        header=[column.name for column in columns],
        table=[[_cell(column, job) for column in columns] for job in jobs],
        charts=_parameter_charts(jobs, columns),
        curves=draw_curves(rows),
        logs=rows[:MAX_LOGS],
        hidden_logs=max(0, len(rows) - MAX_LOGS),
        facts=_common_facts(last),
        inputs=_inputs(last),
        reproduce=_commands(last, index),
        # A browser runs this script and no other, whatever a text of a job contains.
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src '{_hash(script)}'",
        style=Markup(_asset("report.css")),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - likewise
    )


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _finalize(value: Any) -> Any:
    """Return a value without control characters, which could change the direction of text."""
    if isinstance(value, Markup):
        return value
    return sanitise(value) if isinstance(value, str) else value


def _label(attempt: Document) -> str:
    return label(attempt["job"] or "", attempt["host"] or "") or str(attempt["id"])


def _all_jobs(attempts: list[dict[str, Any]], index: Document) -> list[dict[str, Any]]:
    """Return the last attempt of each job, and the jobs of the index that have no record."""
    jobs = {job_name(attempt): attempt for attempt in latest_attempts(attempts)}
    for job in index["jobs"]:
        known = jobs.get(job_name(job))
        if known is None or known["attempt"] < job["attempt"]:
            jobs[job_name(job)] = {**job, "provenance": None}
    return list(jobs.values())


def _with_state(job: dict[str, Any], unfinished: Mapping[str, str]) -> dict[str, Any]:
    """Return a job with what it does now, if it has not ended."""
    state = unfinished.get(job_name(job))
    return job if state is None else {**job, "status": state, "exit_code": None, "error": None}


def _has_failed(job: Document, unfinished: Mapping[str, str]) -> bool:
    return job["status"] != "succeeded" and job_name(dict(job)) not in unfinished


@attrs.frozen(kw_only=True)
class _Failure:
    """Why some jobs did not succeed."""

    status: str
    reasons: tuple[str, ...]
    hint: str


def _failures(rows: Sequence[tuple[str, Document]]) -> list[tuple[_Failure, list[str]]]:
    """Return each reason with the names of its jobs."""
    found: dict[_Failure, list[str]] = {}
    for name, job in rows:
        error = job["error"] or {}
        reasons = [error.get("message"), *map(_task_reason, job["tasks"])]
        failure = _Failure(
            status=str(job["status"]),
            reasons=tuple(dict.fromkeys(str(reason) for reason in reasons if reason)),
            hint=str(error.get("hint") or ""),
        )
        found.setdefault(failure, []).append(name)
    return list(found.items())


def _task_reason(task: Document) -> str | None:
    if task.get("reason"):
        return f"{task['task']}: {task['reason']}"
    return f"{task['task']}: exit code {task['exit_code']}" if task.get("exit_code") else None


def _failures_first(
    jobs: list[dict[str, Any]], unfinished: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return jobs that failed before those that have not ended, and those before the others."""
    return sorted(
        jobs,
        key=lambda job: (not _has_failed(job, unfinished), job["status"] == "succeeded"),
    )


def _table_job(attempt: Document, index: Document) -> Document:
    known: Document = next((job for job in index["jobs"] if job["id"] == attempt["id"]), {})
    times = {"started": None, "finished": None}
    found = {key: known[key] for key in times if known}
    # All jobs are of one run.
    return {**times, **attempt, **found, "run": None}


def _cell(column: Column, job: Document) -> tuple[str, str]:
    """Return what a cell shows, and what the table is sorted by."""
    value = column.cell(job)
    if isinstance(value, float):
        return f"{value:.6g}", repr(value)
    return ("", "") if value is None else (str(value), str(value))


def _parameter_charts(jobs: Sequence[Document], columns: Sequence[Column]) -> list[Chart]:
    """Return a picture for each parameter that varies and each number that varies with it.

    Tasks often write their parameters among their numbers; a picture of these would be a line.
    """
    parameters = list(dict.fromkeys(name for job in jobs for name in job["parameters"]))
    varying = [
        name for name in parameters if len({job["parameters"].get(name) for job in jobs}) > 1
    ]
    fixed = {column.name for column in job_columns([])}
    metrics = [c for c in columns if c.name not in fixed and c.name not in parameters]
    charts = []
    for column in metrics:
        for name in varying:
            pairs = [
                (str(job["parameters"][name]), float(cell))
                for job in jobs
                if name in job["parameters"] and isinstance(cell := column.cell(job), (int, float))
            ]
            is_informative = len({number for _, number in pairs}) > 1 and not all(
                _is_same(value, number) for value, number in pairs
            )
            chart = _parameter_chart(name, column.name, pairs) if is_informative else None
            charts += [] if chart is None else [chart]
    return charts[:_MAX_CHARTS]


def _is_same(text: Any, number: Any) -> bool:
    try:
        return bool(float(text) == number)
    except (TypeError, ValueError):
        return False


def _parameter_chart(
    parameter: str, metric: str, pairs: Sequence[tuple[str, float]]
) -> Chart | None:
    title = f"{metric} by {parameter}"
    try:
        points = [(float(value), number) for value, number in pairs]
        names: list[str] = []
    except ValueError:
        names = list(dict.fromkeys(value for value, _ in pairs))
        points = [(float(names.index(value)), number) for value, number in pairs]
    return draw(title, (parameter, metric), {"": points}, names)


def _common_facts(attempts: Sequence[Document]) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return name → values, each with the number of jobs that have it."""
    found = []
    for name, (section, key) in _FACTS:
        values = Counter(
            _fact(value)
            for attempt in attempts
            if (value := (attempt["provenance"] or {}).get(section, {}).get(key))
        )
        if values:
            found.append((name, values.most_common(10)))
    return found


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value.get('commit')}{', changed since' if value.get('dirty') else ''}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _inputs(attempts: Sequence[Document]) -> list[Document]:
    every = (item for each in attempts for item in (each["provenance"] or {}).get("inputs", ()))
    unique: dict[Any, Document] = {}
    for item in every:
        # Each job of a sweep has a file of its own, which says no more than its parameters.
        content = () if item["where"] == "generated" else (item["path"], item["sha256"])
        unique.setdefault((item["task"], item["name"], content), item)
    return list(unique.values())[:100]


def _commands(attempts: Sequence[Document], index: Document) -> list[str]:
    """Return the command lines that started the run, and the one that repeats it."""
    lines = [
        shlex.join(command)
        for attempt in attempts
        if (command := (attempt["provenance"] or {}).get("client", {}).get("command"))
    ]
    return [*dict.fromkeys(lines), f"mlcube-remote rerun {index['run']} --verify"]
