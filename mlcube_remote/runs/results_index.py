# SPDX-License-Identifier: Apache-2.0
"""The index of a run's results: all its jobs, how they ended, and what they left.

It is made of the run's records on this machine, and never read back into them. A run with several
jobs has it as ``results.json`` beside their outputs; docs/reference/results.md describes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from mlcube_remote.runs.atomic import write_whole
from mlcube_remote.runs.locks import alone
from mlcube_remote.runs.store import RUN, Document, RecordError, Store

VERSION = 1
"""Of the index; raised when something in it changes its meaning."""

FILE = "results.json"

UNKNOWN = "unknown"
"""Status of a job of which this machine knows nothing yet."""


def compile_index(run_id: str, store: Store, tell: Callable[[str], None]) -> Document:
    """Return the index of a run, from what this machine remembers.

    Args:
        run_id: The run.
        store: Where it is remembered.
        tell: Told of records that cannot be read; what they held is missing.
    """

    def read(name: str) -> Document:
        try:
            return store.read(run_id, name) or {}
        except RecordError as problem:
            tell(str(problem))
            return {}

    run = read(RUN)
    known = [{"id": name, **read(name)} for name in store.jobs(run_id)]
    latest: dict[str, Document] = {}
    for job in sorted(known, key=_attempt):
        latest[str(job.get("job") or job.get("host") or job["id"])] = job
    planned = {str(item.get("name") or item["host"]): item for item in run.get("jobs", ())}
    # Of a run that was begun elsewhere only what was seen of its jobs is known.
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
        known = {}  # it is begun once more, and how is not known yet
    tasks = known.get("tasks", [])
    begun = [task["started"] for task in tasks if task.get("started") is not None]
    ended = [task["finished"] for task in tasks if task.get("finished") is not None]
    status = known.get("status", UNKNOWN)
    return {
        "id": known.get("id") or planned["job"],
        "job": known.get("job") or planned.get("name"),
        "host": known.get("host") or planned.get("host"),
        "platform": known.get("platform"),
        "parameters": {**planned.get("parameters", {}), **known.get("parameters", {})},
        "attempt": max(_attempt(planned), _attempt(known)),
        # What was about to be started when its client vanished may have been started.
        "status": UNKNOWN if status == "planned" else status,
        "exit_code": known.get("exit_code"),
        "error": known.get("error"),
        "started": min(begun, default=None),
        "finished": max(ended, default=None),
        "seconds": known.get("seconds", {}),
        "tasks": tasks,
        "outputs": known.get("outputs", []),
    }


def home_of(run_id: str, store: Store) -> Path | None:
    """Return the folder of a remembered run's results; ``None`` where its one job has no such."""
    try:
        run = store.read(run_id, RUN) or {}
    except RecordError:
        return None
    return Path(run["results"]) if len(run.get("jobs", ())) > 1 and "results" in run else None


def publish(run_id: str, store: Store, home: Path, tell: Callable[[str], None]) -> None:
    """Put the index of a run into its folder, in the place of an older one.

    Args:
        run_id: The run.
        store: Where it is remembered.
        home: The folder, made if need be.
        tell: As for :func:`compile_index`.

    Raises:
        RecordError: It cannot be written.
    """
    # One at a time: else an index could be put in the place of a later one.
    with alone("results"):
        index = compile_index(run_id, store, tell)
        for job in index["jobs"]:
            job["outputs"] = [_below(home, output) for output in job["outputs"]]
        try:
            home.mkdir(parents=True, exist_ok=True)
            write_whole(home / FILE, json.dumps(index, indent=1) + "\n", mode=0o666)
        except OSError as problem:
            raise RecordError(
                f"the results cannot be indexed: {problem.filename}: {problem.strerror}",
                hint=f"make {home} writable, then: mlcube-remote results show {run_id}",
            ) from problem


def _below(home: Path, output: Document) -> Document:
    """Return an output with its path relative to the folder, so that it may be moved as a whole."""
    return {**output, "path": str(output["path"]).removeprefix(f"{home}{os.sep}")}


def read_index(file: Path) -> Document:
    """Return the index that a file holds, its outputs' paths absolute again.

    Raises:
        RecordError: It is none, is damaged, or of a later mlcube-remote.
    """
    try:
        index = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as problem:
        raise RecordError(f"{file}: no index of results ({problem})") from problem
    if not isinstance(index, dict) or not isinstance(index.get("version"), int):
        raise RecordError(f"{file}: no index of results (no version)")
    if index["version"] > VERSION:
        raise RecordError(
            f"{file}: version {index['version']} is of a later mlcube-remote than this one, "
            f"which reads up to {VERSION}",
            hint="upgrade: pip install --upgrade mlcube-remote",
        )
    try:
        for job in index["jobs"]:
            for output in job["outputs"]:
                output["path"] = os.path.join(file.parent.absolute(), output["path"])
    except (KeyError, TypeError) as problem:
        raise RecordError(f"{file}: damaged index of results ({problem!r})") from problem
    return index
