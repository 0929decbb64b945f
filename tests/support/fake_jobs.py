# SPDX-License-Identifier: Apache-2.0
"""The jobs of a fake host: what their directories would hold, without any directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from mlcube_remote.transport.fake import FakeConnection

LIVE = ("preparing", "running", "orphaned", "elsewhere")


@attrs.frozen(kw_only=True)
class Script:
    """What a task does when it runs."""

    exit_code: int = 0
    stdout: bytes = b""
    stderr: bytes = b""
    makes: Mapping[str, bytes] = attrs.field(factory=dict)
    """Path relative to the workspace → content."""
    runs_until_stopped: bool = False
    facts: Mapping[str, str] = attrs.field(factory=dict)
    """More records of ``mlcr_report_task`` for the ended task, such as ``inspect``."""


@attrs.define
class FakeTask:
    """A launched task."""

    name: str
    script: Script
    stdout: bytes = b""
    stderr: bytes = b""
    is_started: bool = False
    exit: int | None = None


@attrs.define
class FakeJob:
    """A job's directory."""

    job_dir: str
    request: str
    """What the client wrote into it: JSON."""
    client: FakeConnection | None
    """The connection that claimed it; ``None``: of a client that stays connected."""
    tasks: list[FakeTask] = attrs.field(factory=list)
    """Empty until the job is launched."""
    is_stopped: bool = False
    supervisor_died: bool = False
    gpus: tuple[str, ...] = ()
    environment: Mapping[str, str] = attrs.field(factory=dict)
    """The variables that came with the launch."""

    @property
    def state(self) -> str:
        """The answer of ``mlcr_print_job_state``."""
        if not self.tasks:
            client_lives = self.client is None or not is_gone(self.client)
            return "preparing" if client_lives else "abandoned"
        if self.current is None:
            return "ended"
        return "orphaned" if self.supervisor_died else "running"

    @property
    def current(self) -> FakeTask | None:
        """The task that runs."""
        for task in self.tasks:
            if task.exit != 0:
                ended = task.exit is not None or (self.is_stopped and not task.is_started)
                return None if ended else task
        return None

    def launch(self, names: list[str], scripts: Mapping[str, Script]) -> None:
        """Start the first of these tasks."""
        self.tasks = [FakeTask(name, scripts.get(name, Script())) for name in names]
        self.tasks[0].is_started = True

    def finish(self, task: FakeTask, exit_code: int) -> None:
        """End a task, and start the next one if there is one and this one succeeded."""
        if task.exit is not None:
            return
        task.stdout, task.stderr = task.script.stdout, task.script.stderr
        task.exit = exit_code
        following = self.tasks[self.tasks.index(task) + 1 :]
        if exit_code == 0 and following and not self.is_stopped:
            following[0].is_started = True

    def document(self) -> dict[str, Any]:
        """Return the request as a client reads it."""
        return dict(json.loads(self.request))

    def task_names(self) -> list[str]:
        """Return the names of the tasks that the request is about."""
        return [str(task["task"]) for task in self.document()["tasks"]]

    def workspace(self) -> str:
        """Return the directory that the outputs are downloaded from."""
        folders = self.document()["folders"]
        return str(folders[0]["remote"]) if folders else ""


def is_gone(connection: FakeConnection) -> bool:
    """Whether a connection is closed or cut."""
    return connection.is_closed or bool(getattr(connection, "is_cut", False))


def records(facts: Mapping[str, object]) -> bytes:
    """Return facts in the form in which the shell library prints them."""
    return "".join(f"{key}={value}\0" for key, value in facts.items()).encode()


def report(job: FakeJob, number: int) -> bytes:
    """Return the answer of ``mlcr_report_task``."""
    task = job.tasks[number - 1]
    facts: dict[str, object] = {
        "exit": "pending" if task.exit is None else task.exit,
        "alive": "no" if task.exit is None and job.supervisor_died else "yes",
    }
    if task.exit is None and job.supervisor_died and task.is_started:
        facts["container"] = "running 0 false"
    facts |= {"stdout": len(task.stdout), "stderr": len(task.stderr)}
    if task.is_started:
        facts["started"] = 1000
    if task.exit is not None:
        facts |= {"finished": 1002, "inspect": f"exited {task.exit} false", "outputs": "known"}
        facts |= {"tail": task.stderr.decode()} if task.exit else {}
        facts |= task.script.facts
    if job.is_stopped:
        facts["stop"] = "yes"
    return records(facts)


def survey(jobs: Mapping[str, FakeJob]) -> bytes:
    """Return the answer of ``mlcr_report_jobs``, with the jobs that have ended."""
    answer = b""
    for job in jobs.values():
        name = job.job_dir.rpartition("/")[2]
        answer += records({"job": name, "state": job.state, "age": 5})
        for task in job.tasks:
            exit_code = "pending" if task.exit is None else task.exit
            answer += records({"task": task.name, "exit": exit_code})
        answer += records({"request": f"{name} {job.request}"})
    return answer
