# SPDX-License-Identifier: Apache-2.0
"""Provenance as a JSON document; ``runs/attempt.schema.json`` describes it."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from typing import Any

from mlcube_remote._version import __version__
from mlcube_remote.events.outcome import TaskOutcome
from mlcube_remote.events.provenance import InputOrigin, LogDigest, Provenance, TaskOrigin, Tree
from mlcube_remote.runs.ids import client_name

Document = dict[str, Any]
Logs = Mapping[str, Mapping[str, LogDigest]]
"""Task → stream → log."""


def provenance_document(origin: Provenance, tasks: Iterable[TaskOutcome], logs: Logs) -> Document:
    """Return the document of a job that this client has launched.

    Args:
        origin: What it ran on, from and with.
        tasks: How its tasks ended.
        logs: Their logs, as far as this client has received them.
    """
    ended = {task.task: task for task in tasks}
    return {
        "client": {
            "name": client_name(),
            "version": __version__,
            "python": platform.python_version(),
            "command": list(origin.command),
            "time": round(origin.client_time, 3),
        },
        "host": _host(origin),
        "engine": {
            "command": list(origin.engine),
            "version": origin.image_identity.engine_version or None,
        },
        "image": _image(origin),
        "settings": {key: _plain(value) for key, value in origin.settings.items()},
        "secrets": list(origin.secrets),
        "cube": _cube(origin),
        "inputs": [_input(item) for item in origin.inputs],
        "tasks": [_task(task, ended.get(task.task), logs) for task in origin.tasks],
    }


def update_document(document: Document, outcomes: Iterable[TaskOutcome], logs: Logs) -> Document:
    """Return a document with the ends and logs that a later command has seen."""
    ended = {task.task: task for task in outcomes}
    tasks = []
    for known in document.get("tasks", ()):
        name = known.get("task", "")
        seen = {key: value for key, value in _end(ended.get(name)).items() if value is not None}
        received = {"logs": _logs(logs[name])} if name in logs else {}
        tasks.append({**known, **seen, **received})
    return {**document, "tasks": tasks}


def _host(origin: Provenance) -> Document:
    machine = origin.machine
    return {
        "time": origin.host_time,
        "hostname": machine.hostname or None,
        "machine": machine.machine or None,
        "os": machine.os or None,
        "kernel": machine.kernel or None,
        "cpu": machine.cpu or None,
        "cpus": machine.cpus,
        "memory": machine.memory,
        "gpus": list(machine.gpus),
        "gpu_driver": machine.gpu_driver or None,
        "devices": list(origin.devices),
    }


def _image(origin: Provenance) -> Document:
    identity = origin.image_identity
    return {
        "name": origin.image,
        "id": identity.id or None,
        "digests": list(identity.digests),
        "sha256": identity.sha256 or None,
    }


def _cube(origin: Provenance) -> Document:
    git = origin.cube.git
    return {
        **_tree(origin.cube.tree),
        "git": None if git is None else {"commit": git.commit, "dirty": git.dirty},
        "problem": origin.cube.problem or None,
    }


def _tree(tree: Tree | None) -> Document:
    if tree is None:
        return {"files": None, "size": None, "sha256": None}
    return {"files": tree.files, "size": tree.size, "sha256": tree.sha256}


def _input(item: InputOrigin) -> Document:
    tree = _tree(item.tree)
    if item.tree is None and item.stat is not None:
        tree["size"] = item.stat.size
    return {
        "task": item.task,
        "name": item.name,
        "value": item.value,
        "where": item.where,
        "path": item.path,
        **tree,
        "modified": None if item.stat is None else item.stat.modified,
    }


def _task(task: TaskOrigin, end: TaskOutcome | None, logs: Logs) -> Document:
    return {
        "task": task.task,
        "argv": list(task.argv),
        "alternatives": {types: list(argv) for types, argv in task.alternatives.items()},
        **_end(end),
        "logs": _logs(logs.get(task.task, {})),
    }


def _end(task: TaskOutcome | None) -> Document:
    return {
        "exit_code": None if task is None else task.exit_code,
        "started_ms": None if task is None else task.started_ms,
        "finished_ms": None if task is None else task.finished_ms,
    }


def _logs(logs: Mapping[str, LogDigest]) -> Document:
    return {
        stream: {"size": log.size, "sha256": log.sha256, "tail": log.tail}
        for stream, log in logs.items()
    }


def _plain(value: Any) -> Any:
    """Return a setting as JSON can represent it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
