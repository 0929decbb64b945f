# SPDX-License-Identifier: Apache-2.0
"""Record a run before it starts, with the options that a later ``rerun`` needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mlcube_remote.app.options import (
    DEFAULT_RETRIES,
    ContainerOptions,
    CubeOptions,
    HostOptions,
    RunOptions,
    SweepOptions,
)
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.runs.ids import client_name
from mlcube_remote.runs.store import RUN, Document, RecordError, Store


def record_run(request: RunRequest, jobs: Iterable[JobSpec], options: RunOptions) -> Store:
    """Record that a run is about to start, and return this machine's records.

    Args:
        request: The request.
        jobs: Its jobs.
        options: The options that the request came from.

    Raises:
        RecordError: The record cannot be written; nothing was started.
    """
    store = Store()
    try:
        earlier = store.read(request.run_id, RUN) or {}
    except RecordError:
        earlier = {}  # the new record replaces the damaged one
    entries = {item.get("name") or item["host"]: item for item in earlier.get("jobs", ())}
    entries |= {job.name: _job_entry(job) for job in jobs}
    document = {
        "run": request.run_id,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "client": client_name(),
        "cube": {"name": request.cube.name, "path": str(request.cube.file)},
        "tasks": list(request.tasks),
        "results": str(request.cube.workspace.parent / "results" / request.run_id),
        "inventory": request.inventory,
        "began": {"folder": str(Path.cwd()), "options": _to_document(options, request)},
        **({} if request.again is None else earlier),
        "jobs": list(entries.values()),
    }
    store.write(request.run_id, RUN, document, durable=True)
    return store


def _job_entry(job: JobSpec) -> Document:
    return {
        "name": job.name,
        # The host of a job in a pool is chosen when one is free.
        "host": None if job.trial else job.host.name,
        "job": job.id,
        "attempt": job.attempt,
        "parameters": job.parameters,
    }


def _to_document(options: RunOptions, request: RunRequest) -> Document:
    """Return the options that say what runs, under the keys that every version has used."""
    cube, container, sweep = options.cube, options.container, options.sweep
    return {
        # What a name means may change, such as a group of hosts or which inventory is found.
        "hosts": [host.name for host in request.hosts],
        "where": (),
        "inventory": request.inventory,
        "mlcube": cube.path,
        "overrides": cube.overrides,
        "workspace": cube.workspace,
        "tasks": options.tasks,
        "arguments": options.parameters,
        "platform": container.platform,
        "network": container.network,
        "security": container.security,
        "gpus": container.gpus,
        "memory": container.memory,
        "cpu": container.cpu,
        "mount": container.mount,
        "trust_cube": container.trust_cube,
        "env_names": container.env,
        "sweeps": sweep.axes,
        "sweep_file": sweep.file,
        "shard": sweep.shard,
        "retries": sweep.retries,
        "retry_on": sweep.retry_on,
        "timeout": options.timeout,
    }


def read_options(recorded: Mapping[str, Any]) -> RunOptions:
    """Return the options that :func:`record_run` wrote, in this or an earlier version."""

    def several(key: str) -> tuple[str, ...]:
        return tuple(recorded.get(key) or ())

    retries = recorded.get("retries")
    return RunOptions(
        hosts=HostOptions(names=several("hosts"), inventory=recorded.get("inventory")),
        cube=CubeOptions(
            path=recorded.get("mlcube") or ".",
            overrides=several("overrides"),
            workspace=recorded.get("workspace"),
        ),
        tasks=several("tasks"),
        parameters=several("arguments"),
        container=ContainerOptions(
            platform=recorded.get("platform"),
            network=recorded.get("network"),
            security=recorded.get("security"),
            gpus=recorded.get("gpus"),
            memory=recorded.get("memory"),
            cpu=recorded.get("cpu"),
            mount=recorded.get("mount"),
            trust_cube=bool(recorded.get("trust_cube")),
            env=several("env_names"),
        ),
        sweep=SweepOptions(
            axes=several("sweeps"),
            file=recorded.get("sweep_file"),
            shard=recorded.get("shard"),
            retries=DEFAULT_RETRIES if retries is None else int(retries),
            retry_on=several("retry_on"),
        ),
        timeout=recorded.get("timeout"),
    )
