# SPDX-License-Identifier: Apache-2.0
"""Record a run before it starts, with the options that a later ``rerun`` needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.app.options import (
    DEFAULT_RETRIES,
    DEFAULT_RETRY_ON,
    DEFAULT_STOP_GRACE_S,
    ContainerOptions,
    CubeOptions,
    HostOptions,
    RunOptions,
    SweepOptions,
    TaskOptions,
)
from mlcube_remote.app.parse import parse_axes, parse_parameters, split_names
from mlcube_remote.commands.model import Options
from mlcube_remote.errors import RecordError
from mlcube_remote.inventory.select import selector
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.runs.documents import Document
from mlcube_remote.runs.ids import client_name
from mlcube_remote.runs.store import RUN, Store

_ENGINE_FIELDS = attrs.fields(Options)
"""Their names are also the keys in a record."""


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
    name = request.name or earlier.get("name")
    document = {
        "run": request.run_id,
        **({"name": name} if name else {}),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "client": client_name(),
        "cube": {"name": request.cube.name, "path": str(request.cube.file)},
        "tasks": list(request.tasks),
        "results": str(request.cube.workspace.parent / "results" / request.run_id),
        "inventory": request.inventory,
        "inventory_cube": request.inventory_cube,
        "began": {"folder": str(Path.cwd()), "options": _to_document(options, request)},
        **({} if request.again is None else earlier),
        "selectors": {
            **earlier.get("selectors", {}),
            **{host.name: selector(host) for host in request.hosts if selector(host) != host.name},
        },
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
    cube, tasks, container, sweep = options.cube, options.tasks, options.container, options.sweep
    return {
        # What a name means may change, such as a group of hosts or which inventory is found.
        "hosts": [selector(host) for host in request.hosts],
        "where": (),
        # An inventory of the cube is found again, and its requests are checked again.
        "inventory": None if request.inventory_cube else request.inventory,
        "mlcube": cube.path,
        "overrides": cube.overrides,
        "workspace": cube.workspace,
        "tasks": tasks.names,
        "arguments": [f"{name}={value}" for name, value in tasks.parameters.items()],
        "env_names": tasks.env,
        "timeout": tasks.timeout,
        "grace": tasks.grace,
        "allow_missing": tasks.allow_missing,
        "fresh_outputs": tasks.fresh_outputs,
        "copy_links": tasks.copy_links,
        "slurm": tasks.slurm,
        "platform": container.platform,
        "trust_cube": container.trust_cube,
        "ship_image": container.ship_image,
        **attrs.asdict(container.engine),
        "sweeps": [f"{name}={','.join(values)}" for name, values in sweep.axes.items()],
        "sweep_file": sweep.file,
        "sample": sweep.sample,
        "seed": sweep.seed,
        "shard": sweep.shard,
        "retries": sweep.retries,
        "retry_on": sorted(sweep.retry_on),
    }


def read_options(recorded: Mapping[str, Any]) -> RunOptions:
    """Return the options that this or an earlier version has recorded."""

    def texts(key: str) -> tuple[str, ...]:
        return tuple(recorded.get(key) or ())

    retries = recorded.get("retries")
    return RunOptions(
        hosts=HostOptions(names=texts("hosts"), inventory=recorded.get("inventory")),
        cube=CubeOptions(
            path=recorded.get("mlcube") or ".",
            overrides=texts("overrides"),
            workspace=recorded.get("workspace"),
        ),
        tasks=TaskOptions(
            names=split_names(texts("tasks")),
            parameters=parse_parameters(texts("arguments")),
            env=texts("env_names"),
            timeout=recorded.get("timeout"),
            grace=float(recorded.get("grace") or DEFAULT_STOP_GRACE_S),
            allow_missing=texts("allow_missing"),
            fresh_outputs=bool(recorded.get("fresh_outputs")),
            copy_links=bool(recorded.get("copy_links")),
            slurm=texts("slurm"),
        ),
        container=ContainerOptions(
            platform=recorded.get("platform"),
            trust_cube=bool(recorded.get("trust_cube")),
            ship_image=recorded.get("ship_image"),
            engine=Options(**{field.name: recorded.get(field.name) for field in _ENGINE_FIELDS}),
        ),
        sweep=SweepOptions(
            axes=parse_axes(texts("sweeps")),
            file=recorded.get("sweep_file"),
            sample=recorded.get("sample"),
            seed=recorded.get("seed"),
            shard=recorded.get("shard"),
            retries=DEFAULT_RETRIES if retries is None else int(retries),
            retry_on=frozenset(texts("retry_on")) or DEFAULT_RETRY_ON,
        ),
    )
