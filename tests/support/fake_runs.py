# SPDX-License-Identifier: Apache-2.0
"""A small cube, and one job of it: planned, run on a fake host, with everything that it reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.app.parse import parse_axes
from mlcube_remote.commands.model import Options
from mlcube_remote.cube.load import load
from mlcube_remote.dispatch.pipeline import run_job
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import UnexpectedError
from mlcube_remote.events.exit_codes import exit_code
from mlcube_remote.events.model import (
    ConnectionLost,
    ConnectionRestored,
    Event,
    Level,
    Note,
    Output,
    StageFinished,
)
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.handle import from_document
from mlcube_remote.jobs.lookup import RecordedJob
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.plan.sweep_points import sweep_points
from mlcube_remote.plan.trials import make_trials
from mlcube_remote.runs.documents import Document
from mlcube_remote.runs.store import Store
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Stream
from tests.support.fake_host import FakeHost
from tests.support.fake_jobs import Script

CUBE = """
name: mnist
docker: {image: example/mnist}
tasks:
  prepare:
    parameters: {outputs: {data: data/}}
  train:
    parameters:
      inputs: {config: {type: file, default: conf.yaml}}
      outputs: {model: model/, log: {type: file, default: train.log}}
  evaluate:
    parameters:
      inputs: {model: model/}
      outputs: {report: {type: file, default: report.json}}
"""
RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"
OTHER_RUN_ID = "261123-190234-aaaabbbbccccdddd"
RECONNECT_TIMEOUT_S = 0.2

TRAINS = Script(
    stdout=b"epoch 1\nepoch 2\n",
    stderr=b"warming up\n",
    makes={"model/weights": b"123", "train.log": b"done\n"},
)
"""The script of a task that trains well."""


def write_cube(folder: Path, *, dockerfile: bool = False, text: str = CUBE) -> Path:
    """Write the cube, unless it is there, and return its directory."""
    root = folder / "cube"
    (root / "workspace").mkdir(parents=True, exist_ok=True)
    _write(root / "workspace/conf.yaml", "lr: 1\n")
    if dockerfile:
        _write(root / "Dockerfile", "FROM scratch\n")
        text = text.replace("docker: {", "docker: {build_strategy: auto, build_context: ., ")
    _write(root / "mlcube.yaml", text)
    return root


def _write(path: Path, text: str) -> None:
    """Write a file, unless it has this text."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


@attrs.define(kw_only=True)
class Client:
    """One client that runs a job on a fake host."""

    job: JobSpec
    run: RunContext
    store: Store
    events: list[Event]

    def do(self, *, may_run: bool = False) -> JobOutcome:
        """Run the job, and raise a bug."""
        return checked(self.do_unchecked(may_run=may_run))

    def do_unchecked(self, *, may_run: bool = False) -> JobOutcome:
        """Run the job."""
        return run_job(self.job, self.run, may_run=may_run)

    def notes(self, level: Level | None = None) -> list[str]:
        """Return the texts of the notes, without those for debugging, and what connections did."""
        levels = {Level.INFO, Level.WARNING} if level is None else {level}
        texts = []
        is_lost = False
        for event in self.events:
            if isinstance(event, Note) and event.level in levels:
                texts.append(event.text)
            elif isinstance(event, ConnectionLost) and not is_lost and Level.WARNING in levels:
                texts.append(f"{event.reason}; reconnecting")
            elif isinstance(event, ConnectionRestored) and Level.INFO in levels:
                texts.append("connected again")
            if isinstance(event, (ConnectionLost, ConnectionRestored)):
                is_lost = isinstance(event, ConnectionLost)
        return texts

    def stages(self) -> list[str]:
        """Return the stages that finished, in order: ``run train``."""
        done = [event for event in self.events if isinstance(event, StageFinished)]
        return [f"{event.stage.value} {event.task or ''}".strip() for event in done]

    def details(self) -> dict[str, str]:
        """Return stage → the detail with which it finished."""
        done = [event for event in self.events if isinstance(event, StageFinished)]
        return {f"{event.stage.value} {event.task or ''}".strip(): event.detail for event in done}

    def output(self, stream: Stream = Stream.STDOUT, task: str | None = "train") -> bytes:
        """Return what was printed of a task."""
        outputs = [event for event in self.events if isinstance(event, Output)]
        return b"".join(e.data for e in outputs if (e.stream, e.task) == (stream, task))

    def record(self) -> Document:
        """Return the record of the job on this machine."""
        record = self.store.read(self.job.request.run_id, self.job.id)
        assert record is not None
        return record

    def known(self, *, with_ticket: bool = True, **changes: Any) -> RecordedJob:
        """Return the job as another command finds it, in the record or by its ids alone."""
        known = RecordedJob(
            run_id=self.job.request.run_id,
            host=self.job.host,
            job_id=self.job.id,
            handle=from_document(self.record()["ticket"]) if with_ticket else None,
        )
        return attrs.evolve(known, **changes)

    def another(self, host: FakeHost, folder: Path, **changes: Any) -> Client:
        """Return another client with the same job."""
        return client(self.job, host, Store(folder / "others"), changes)

    @property
    def workspace(self) -> Path:
        """The workspace on this machine."""
        return self.job.request.cube.workspace


SCRIPTS = {
    "prepare": Script(makes={"data/images": b"pixels"}),
    "train": TRAINS,
    "evaluate": Script(makes={"report.json": b'{"accuracy": 0.5}'}),
}
"""Task → what it does on a fake host unless a test changes it."""


MakeClient = Callable[..., Client]
"""The fixture ``make_client``: takes task names, ``run`` and what :func:`plan_job` takes."""


def checked(outcome: JobOutcome) -> JobOutcome:
    """Return an outcome, unless a bug ended the job: that bug is raised."""
    if isinstance(outcome.error, UnexpectedError) and outcome.error.__cause__ is not None:
        raise outcome.error.__cause__
    return outcome


def plan_job(
    root: Path,
    *tasks: str,
    host: Host | None = None,
    env: Mapping[str, Secret] | None = None,
    gpus: str | None = None,
    **changes: Any,
) -> JobSpec:
    """Return the job that runs these tasks (``train``) of the cube."""
    names: Sequence[str] = tasks or ("train",)
    return jobs_of(root, *names, host=host, env=env, gpus=gpus, **changes)[0]


def jobs_of(
    root: Path,
    *tasks: str,
    host: Host | None = None,
    env: Mapping[str, Secret] | None = None,
    gpus: str | None = None,
    sweep: str | None = None,
    **changes: Any,
) -> tuple[JobSpec, ...]:
    """Return the jobs that run these tasks of the cube: several if there is a sweep."""
    cube = load(root, tasks=tasks, task_args=changes.pop("values", {}))
    # Host paths below /r: what is there exists on no test machine.
    request = RunRequest(
        cube=cube,
        hosts=(host or Host(name="gpu01", remote_root="/r"),),
        tasks=tuple(tasks),
        run_id=changes.pop("run_id", RUN_ID),
        env=env or {},
        options=Options(gpus=gpus),
        trials=() if sweep is None else make_trials(cube, sweep_points(parse_axes([sweep])), tasks),
        **changes,
    )
    return plan_jobs(request)


def client(
    job: JobSpec, host: FakeHost, store: Store, settings: Mapping[str, Any] | None = None
) -> Client:
    """Return a client that runs the job on the host, and gives up soon if it cannot reach it.

    Args:
        job: The job.
        host: Where it runs.
        store: Where the client keeps its records.
        settings: Arguments of the run that differ from the usual ones.
    """
    events: list[Event] = []
    usual = {"connect": host.connect, "sink": events.append, "store": store}
    run = RunContext(**{**usual, "reconnect_timeout": RECONNECT_TIMEOUT_S, **(settings or {})})
    return Client(job=job, run=run, store=store, events=events)


def code(outcome: JobOutcome) -> int:
    """Return the exit code of a command with this outcome alone."""
    return exit_code([outcome])


def everything_kept(work: Client) -> str:
    """Return all that the client reports and records, as text."""
    records = [path.read_text() for path in work.store.root.rglob("*.json")]
    return json.dumps([repr(work.events), *records])
