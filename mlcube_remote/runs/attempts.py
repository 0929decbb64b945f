# SPDX-License-Identifier: Apache-2.0
"""The record of every attempt of a run's jobs, as documents to keep, compare and verify.

``attempt.schema.json`` in this directory is their JSON Schema. A run with several jobs has them
beside its outputs: ``results/RUN/attempts/JOB.json``. Records that older versions wrote have no
``provenance``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from mlcube_remote.errors import RecordError
from mlcube_remote.runs.atomic import write_atomically
from mlcube_remote.runs.documents import Document
from mlcube_remote.runs.store import RUN, Store

VERSION = 1
"""Version of the documents; it increases when the meaning of a key changes."""

DIRECTORY = "attempts"

SCHEMA = Path(__file__).with_name("attempt.schema.json")

_KEYS: Document = {
    "job": None,
    "host": None,
    "platform": None,
    "parameters": {},
    "attempt": 1,
    "status": "unknown",
    "exit_code": None,
    "error": None,
    "seconds": {},
    "tasks": [],
    "outputs": [],
    "provenance": None,
}
"""Key of a record → its value in a record that lacks it."""


def compile_attempts(run_id: str, store: Store, warn: Callable[[str], None]) -> list[Document]:
    """Return the record of each attempt of a run's jobs, in the order of jobs and attempts.

    Args:
        run_id: The run.
        store: The records.
        warn: Called with a message for each record that cannot be read; it is left out.
    """
    run = store.read_if_valid(run_id, RUN, warn)
    order = [str(item.get("name") or item["host"]) for item in run.get("jobs", ())]
    attempts = [
        _attempt(run_id, run, name, record)
        for name in store.jobs(run_id)
        if (record := store.read_if_valid(run_id, name, warn))
    ]

    def rank(attempt: Document) -> tuple[int, str, int]:
        name = job_name(attempt)
        at = order.index(name) if name in order else len(order)
        return at, name, int(attempt["attempt"])

    return sorted(attempts, key=rank)


def job_name(attempt: Document) -> str:
    """Return the name of an attempt's job, unique in its run."""
    return str(attempt["job"] or attempt["host"] or attempt["id"])


def latest_attempts(attempts: list[Document]) -> list[Document]:
    """Return the last attempt of each job; their order is that of the jobs."""
    return list({job_name(attempt): attempt for attempt in attempts}.values())


def _attempt(run_id: str, run: Document, name: str, record: Document) -> Document:
    known = {key: record.get(key, default) for key, default in _KEYS.items()}
    # A planned job may have been started just before its client died.
    known["status"] = "unknown" if known["status"] == "planned" else known["status"]
    head = {"version": VERSION, "run": run_id, "id": name, "cube": run.get("cube")}
    return {**head, **known}


def write_attempts(run_id: str, store: Store, directory: Path, warn: Callable[[str], None]) -> None:
    """Write the record of each attempt below the directory of a run's results.

    Raises:
        OSError: A record cannot be written.
    """
    folder = directory / DIRECTORY
    folder.mkdir(parents=True, exist_ok=True)
    for attempt in compile_attempts(run_id, store, warn):
        path = folder / f"{attempt['id']}.json"
        text = json.dumps(_for_others(attempt, directory), indent=1) + "\n"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_atomically(path, text, mode=0o666)


def _for_others(attempt: Document, directory: Path) -> Document:
    """Return a record for a directory that may be moved, and that others may read.

    Its outputs have relative paths, and its logs no ends.
    """
    outputs = [
        {**output, "path": str(output["path"]).removeprefix(f"{directory}{os.sep}")}
        for output in attempt["outputs"]
    ]
    attempt = {**attempt, "outputs": outputs}
    provenance = attempt["provenance"]
    if provenance is None:
        return attempt
    tasks = [
        {
            **task,
            "logs": {stream: {**log, "tail": ""} for stream, log in task.get("logs", {}).items()},
        }
        for task in provenance["tasks"]
    ]
    return {**attempt, "provenance": {**provenance, "tasks": tasks}}


def read_attempts(directory: Path) -> list[Document]:
    """Return the records below a directory of results, which may have been moved.

    Raises:
        RecordError: A record is damaged, or a newer mlcube-remote wrote it.
    """
    found = []
    for path in sorted((directory / DIRECTORY).glob("*.json")):
        try:
            attempt = json.loads(path.read_bytes())
            version = int(attempt["version"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as problem:
            raise RecordError(f"{path}: not a record of an attempt ({problem!r})") from problem
        if version > VERSION:
            raise RecordError.too_new(path, "version", found=version, supported=VERSION)
        outputs = [
            {**output, "path": os.path.join(directory.absolute(), output["path"])}
            for output in attempt.get("outputs", ())
        ]
        found.append({**_KEYS, **attempt, "outputs": outputs})
    return sorted(found, key=lambda attempt: (job_name(attempt), int(attempt["attempt"])))
