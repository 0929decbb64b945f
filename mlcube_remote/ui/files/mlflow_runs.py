# SPDX-License-Identifier: Apache-2.0
"""Export a run to MLflow: an MLflow run for each job, with parameters, metrics and tags."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from mlcube_remote.errors import MLCubeRemoteError, UsageError
from mlcube_remote.runs.attempts import job_name, latest_attempts
from mlcube_remote.ui.tables.results import job_columns

if TYPE_CHECKING:
    from mlflow import MlflowClient

Document = Mapping[str, Any]

ID_TAG = "mlcube_remote.id"
"""Tag with the id of an attempt: the same attempt is not logged twice."""

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Settings of MLflow's client, unless the user has others: no reports to its makers, a server that
does not answer is an error soon, and standard output is ours."""

_STATUS = {"succeeded": "FINISHED", "failed": "FAILED", "running": "RUNNING"}
_FORBIDDEN = re.compile(r"[^\w\-./ ]", re.ASCII)
_MAX_BATCH = 100
_MAX_NAME = 250


@attrs.frozen(kw_only=True)
class Logged:
    """What an export has done."""

    experiment: str
    """Name of MLflow's experiment."""
    new: int
    """Number of jobs that were logged."""
    known: int
    """Number of jobs that had been logged before, and were left as they were."""


def log_to_mlflow(attempts: list[dict[str, Any]], index: Document, uri: str) -> Logged:
    """Log the last attempt of each job of a run.

    Args:
        attempts: The record of each attempt.
        index: The index of the run's results.
        uri: A tracking URI of MLflow.

    Raises:
        UsageError: The package mlflow is not installed.
        MLCubeRemoteError: The server does not accept the runs.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient  # noqa: PLC0415 - optional, and slow to import
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
    except ImportError as problem:
        raise UsageError(
            "--mlflow needs the package mlflow-skinny or mlflow",
            hint="pip install 'mlcube-remote[mlflow]'",
        ) from problem
    try:
        return _log(MlflowClient(tracking_uri=uri), latest_attempts(attempts), index)
    except (MlflowException, OSError) as problem:
        # Errors of the library requests are OSErrors. An address may have a password.
        text = " ".join(str(problem).replace(uri, "the server").split())
        raise MLCubeRemoteError(
            f"--mlflow: {text}",
            hint="check the URI, and that the server runs: mlflow server --host=127.0.0.1",
        ) from problem


def _log(client: MlflowClient, jobs: Sequence[dict[str, Any]], index: Document) -> Logged:
    name = str((index["cube"] or {}).get("name") or "mlcube")
    found = client.get_experiment_by_name(name)
    experiment = found.experiment_id if found is not None else client.create_experiment(name)
    metrics = _metrics(jobs)
    new = 0
    for job, numbers in zip(jobs, metrics, strict=True):
        query = f"tags.`{ID_TAG}` = '{job['id']}'"
        if client.search_runs([experiment], query, max_results=1):
            continue
        _log_job(client, experiment, job, numbers)
        new += 1
    return Logged(experiment=name, new=new, known=len(jobs) - new)


def _log_job(
    client: MlflowClient, experiment: str, job: dict[str, Any], numbers: Mapping[str, float]
) -> None:
    from mlflow.entities import Metric, Param  # noqa: PLC0415 - as above

    tasks = (job["provenance"] or {}).get("tasks", ())
    begin = min((at for task in tasks if (at := task.get("started_ms"))), default=0)
    end = max((at for task in tasks if (at := task.get("finished_ms"))), default=begin)
    run = client.create_run(
        experiment,
        start_time=begin or None,
        tags=dict(_tags(job)),
        run_name=f"{job['run']}/{job_name(job)}",
    ).info.run_id
    params = [Param(_allowed(name), str(value)) for name, value in job["parameters"].items()]
    metrics = [Metric(name, value, end, 0) for name, value in numbers.items()]
    for at in range(0, max(len(params), len(metrics)), _MAX_BATCH):
        few = slice(at, at + _MAX_BATCH)
        client.log_batch(run, params=params[few], metrics=metrics[few])
    status = _STATUS.get(job["status"], "KILLED")
    if status != "RUNNING":
        client.set_terminated(run, status, end or None)


def _tags(job: dict[str, Any]) -> Iterator[tuple[str, str]]:
    found = job["provenance"] or {}
    cube, image = found.get("cube", {}), found.get("image", {})
    known = {
        ID_TAG: job["id"],
        "mlcube_remote.run": job["run"],
        "mlcube_remote.job": job_name(job),
        "mlcube_remote.host": job["host"],
        "mlcube_remote.platform": job["platform"],
        "mlcube_remote.status": job["status"],
        "mlcube_remote.cube_sha256": cube.get("sha256"),
        "mlcube_remote.image": image.get("id") or image.get("sha256"),
        "mlflow.source.git.commit": (cube.get("git") or {}).get("commit"),
    }
    return ((name, str(value)) for name, value in known.items() if value)


def _metrics(jobs: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    """Return name → number of each job, with the names that ``results show`` has."""
    # All jobs are of one run, so that no column has its id.
    rows = [{**job, "run": None, "started": None, "finished": None} for job in jobs]
    columns = job_columns(rows)
    others = {column.name for column in job_columns([])} | {
        name for job in jobs for name in job["parameters"]
    }
    names: dict[str, str] = {}
    for column in columns:
        if column.name not in others:
            names[column.name] = _unique(_allowed(column.name), set(names.values()))
    return [
        {
            names[column.name]: float(cell)
            for column in columns
            if column.name in names and isinstance(cell := column.cell(row), (int, float))
        }
        for row in rows
    ]


def _allowed(name: str) -> str:
    """Return a name with the characters that MLflow allows."""
    return _FORBIDDEN.sub("_", name)[:_MAX_NAME].strip("/.") or "_"


def _unique(name: str, taken: set[str]) -> str:
    number, chosen = 1, name
    while chosen in taken:
        number += 1
        chosen = f"{name}_{number}"
    return chosen
