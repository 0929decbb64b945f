# SPDX-License-Identifier: Apache-2.0
"""The index of a run's results: all its jobs with their states and outputs.

It is compiled from the run's records on this machine and never read back into them. A run with
several jobs has it as ``results.json`` next to the outputs; docs/reference/results.md describes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from mlcube_remote.errors import RecordError
from mlcube_remote.runs.atomic import write_atomically
from mlcube_remote.runs.attempts import write_attempts
from mlcube_remote.runs.documents import Document
from mlcube_remote.runs.locks import exclusive
from mlcube_remote.runs.store import RUN, Store

VERSION = 1
"""Version of the index; it increases when the meaning of a key changes."""

FILE = "results.json"

UNKNOWN = "unknown"
"""Status of a job that has no record yet."""


def compile_index(run_id: str, store: Store, warn: Callable[[str], None]) -> Document:
    """Return the index of a run, compiled from its records.

    Args:
        run_id: The run.
        store: The records.
        warn: Called with a message for each record that cannot be read; the index omits it.
    """
    run = store.read_if_valid(run_id, RUN, warn)
    records = [
        {"id": name, **store.read_if_valid(run_id, name, warn)} for name in store.jobs(run_id)
    ]
    latest: dict[str, Document] = {}
    for job in sorted(records, key=_attempt):
        latest[str(job.get("job") or job.get("host") or job["id"])] = job
    planned = {str(item.get("name") or item["host"]): item for item in run.get("jobs", ())}
    # A run that another machine started has no list of jobs here, only the jobs seen so far.
    names = planned or latest
    return {
        "version": VERSION,
        "run": run_id,
        "created": run.get("created"),
        "client": run.get("client"),
        "cube": run.get("cube"),
        "jobs": [_job(planned.get(name, {}), latest.get(name, {})) for name in names],
    }


def _attempt(job: Document) -> int:
    return int(job.get("attempt", 1))


def _job(planned: Document, known: Document) -> Document:
    if _attempt(known) < _attempt(planned):
        known = {}  # the job was started again, and the new attempt has no record yet
    tasks = known.get("tasks", [])
    started = [task["started"] for task in tasks if task.get("started") is not None]
    finished = [task["finished"] for task in tasks if task.get("finished") is not None]
    status = known.get("status", UNKNOWN)
    return {
        "id": known.get("id") or planned["job"],
        "job": known.get("job") or (planned.get("name") if planned.get("host") is None else None),
        "host": known.get("host") or planned.get("host"),
        "platform": known.get("platform"),
        "parameters": {**planned.get("parameters", {}), **known.get("parameters", {})},
        "attempt": max(_attempt(planned), _attempt(known)),
        # A planned job may have been started just before its client died.
        "status": UNKNOWN if status == "planned" else status,
        "exit_code": known.get("exit_code"),
        "error": known.get("error"),
        "started": min(started, default=None),
        "finished": max(finished, default=None),
        "seconds": known.get("seconds", {}),
        "tasks": tasks,
        "outputs": known.get("outputs", []),
    }


def results_directory(run_id: str, store: Store) -> Path | None:
    """Return the results directory of a run; ``None`` if it has one job or no readable record."""
    try:
        run = store.read(run_id, RUN) or {}
    except RecordError:
        return None
    return Path(run["results"]) if len(run.get("jobs", ())) > 1 and "results" in run else None


def write_index(run_id: str, store: Store, directory: Path, warn: Callable[[str], None]) -> None:
    """Write the index of a run, replacing an older one.

    Args:
        run_id: The run.
        store: The records.
        directory: The run's results directory, created if it does not exist.
        warn: As for :func:`compile_index`.

    Raises:
        RecordError: The index cannot be written.
    """
    # Without the lock, an older index could replace a newer one.
    with exclusive("results"):
        index = compile_index(run_id, store, warn)
        for job in index["jobs"]:
            job["outputs"] = [_relative_to(directory, output) for output in job["outputs"]]
        try:
            directory.mkdir(parents=True, exist_ok=True)
            write_attempts(run_id, store, directory, warn)
            write_atomically(directory / FILE, json.dumps(index, indent=1) + "\n", mode=0o666)
        except OSError as problem:
            raise RecordError.not_writable(
                "the results cannot be indexed",
                problem,
                hint=f"make {directory} writable, then: mlcube-remote results show {run_id}",
            ) from problem


def _relative_to(directory: Path, output: Document) -> Document:
    """Return an output with a relative path, so that the directory can be moved."""
    return {**output, "path": str(output["path"]).removeprefix(f"{directory}{os.sep}")}


def read_index(file: Path) -> Document:
    """Read an index and return it with absolute paths of outputs.

    Raises:
        RecordError: The file is not an index or is damaged, or a newer mlcube-remote wrote it.
    """
    try:
        index = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as problem:
        raise RecordError(f"{file}: not an index of results ({problem})") from problem
    if not isinstance(index, dict) or not isinstance(index.get("version"), int):
        raise RecordError(f"{file}: not an index of results (no version)")
    if index["version"] > VERSION:
        raise RecordError.too_new(file, "version", found=index["version"], supported=VERSION)
    try:
        for job in index["jobs"]:
            for output in job["outputs"]:
                output["path"] = os.path.join(file.parent.absolute(), output["path"])
    except (KeyError, TypeError) as problem:
        raise RecordError(f"{file}: damaged index of results ({problem!r})") from problem
    return index
