# SPDX-License-Identifier: Apache-2.0
"""From what a host reports to what the user sees: ends of tasks, exit codes, messages."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs
import pytest

from mlcube_remote.budgets import parse_time
from mlcube_remote.errors import (
    HostUnfitError,
    StateUnknownError,
)
from mlcube_remote.events.outcome import Status
from mlcube_remote.facts.probe import HostFacts
from mlcube_remote.jobs.handle import JobHandle, TaskHandle
from mlcube_remote.jobs.state import TaskReport, derive_outcome, read_task
from mlcube_remote.transport.base import Reply, Stream
from mlcube_remote.transport.fake import FakeConnection
from tests.support.fake_jobs import records

TASK = TaskHandle(task="t", engine=("docker",), container="c")


TICKET = JobHandle(
    run_id="r",
    job_id="r-h",
    host="h",
    platform="docker",
    cube="cube",
    client="ada@here",
    root="/root",
    tasks=(TASK,),
    folders=(),
    timeout=60,
)


NO_SIZES: Mapping[Stream, int] = MappingProxyType({Stream.STDOUT: 0, Stream.STDERR: 0})


def report(exit: int | None, inspect: str = "", **changes: Any) -> TaskReport:  # noqa: A002
    task_report = TaskReport(
        exit=exit, alive=False, sizes=NO_SIZES, started=10, finished=14, inspect=inspect
    )
    return attrs.evolve(task_report, **changes)


@pytest.mark.parametrize(
    ("task_report", "status", "code", "reason"),
    [
        (report(0), Status.SUCCEEDED, 0, ""),
        (report(3, "exited 3 false "), Status.FAILED, 3, ""),
        (report(125, "exited 125 false "), Status.FAILED, 125, ""),
        (report(1, refused="input a: /a does not exist"), Status.FAILED, None, "input a: /a does"),
        (report(1, refused=""), Status.FAILED, None, "an input did not exist when it began"),
        (
            report(1, unreturned="0 /ws: no space (kept: /tmp/x on n1)"),
            Status.FAILED,
            0,
            "its outputs could not be copied back: /ws: no space (kept: /tmp/x on n1)",
        ),
        (
            report(143, "exited 143 false ", stopped=True, unreturned="143 /ws: no space"),
            Status.CANCELLED,
            143,
            "stopped on request; its outputs could not be copied back: /ws: no space",
        ),
        (report(127, "created 127 false no such file"), Status.FAILED, 127, "failed to start: no"),
        (
            report(126, "created 0 false "),
            Status.FAILED,
            126,
            "failed to start: see the engine's message",
        ),
        (
            report(126, "initialized 0 false "),
            Status.FAILED,
            126,
            "failed to start: see the engine's",
        ),
        (report(137, "exited 137 true "), Status.KILLED, 137, "out of memory"),
        (
            report(3, "exited 3 true "),
            Status.FAILED,
            3,
            "a process inside was killed: out of memory",
        ),
        (report(143, "exited 143 false ", stopped=True), Status.CANCELLED, 143, "stopped on req"),
        (report(None), Status.LOST, None, "its supervisor is gone"),
        (
            report(137, "exited 137 false ", stopped=True),
            Status.CANCELLED,
            137,
            "stopped on request and killed, because it ignored SIGTERM",
        ),
        (report(None, rebooted=True), Status.LOST, None, "the host rebooted"),
        (report(None, container="absent"), Status.LOST, None, "its supervisor is gone, and its c"),
        (report(None, stopped=True, started=None), Status.CANCELLED, None, "stopped before"),
        (
            report(143, "exited 143 false ", timed_out=True),
            Status.KILLED,
            143,
            "reached its time l",
        ),
        (
            report(137, "exited 137 false ", timed_out=True),
            Status.KILLED,
            137,
            "reached its time limit of 60 s and was killed 10 s later, because it ignored SIGTERM",
        ),
        (
            report(1, "exited 137 false ", engine_restarted=True),
            Status.KILLED,
            137,
            "the engine was stopped or restarted",
        ),
        (report(125, "", engine_restarted=True), Status.KILLED, None, "the engine was stopped"),
        (report(3, "exited 3 false ", engine_restarted=True), Status.FAILED, 3, ""),
        (report(137, "", container="absent"), Status.LOST, None, "its container was removed"),
    ],
)
def test_two_witnesses_say_how_a_task_ended(
    task_report: TaskReport, status: Status, code: int | None, reason: str
) -> None:
    outcome = derive_outcome(TICKET, TASK, task_report)
    assert (outcome.status, outcome.exit_code) == (status, code)
    assert outcome.reason.startswith(reason)
    assert outcome.seconds == (4.0 if task_report.exit is not None else None)


def test_a_host_that_cannot_know_makes_the_state_unknown() -> None:
    with pytest.raises(StateUnknownError, match="docker gives no answer: its container may still"):
        derive_outcome(TICKET, TASK, report(None, container="unknown"))


def test_the_state_of_a_task_on_another_machine_with_this_home_is_unknown() -> None:
    with pytest.raises(
        StateUnknownError, match="the job runs on login2, which shares this home"
    ) as caught:
        derive_outcome(TICKET, TASK, report(None, node="login2"))
    assert "point h to login2 in the inventory" in (caught.value.hint or "")


def test_an_engine_that_refuses_is_no_failure_of_the_task() -> None:
    with pytest.raises(HostUnfitError, match=r"could not start the container of task t"):
        derive_outcome(TICKET, TASK, report(125))


DOCKER_GPU = 'could not select device driver "" with capabilities: [[gpu]]'


CDI = "setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=0"


CGROUPS = "while applying cgroups config: cannot use cgroups - cannot use systemd cgroups manager"


ROOT_NEEDED = "network requires root or a suid installation with /etc/subuid --fakeroot"


REFUSED = [
    ("docker", report(125, f"created 128 false {DOCKER_GPU}"), "--gpus", DOCKER_GPU),
    ("podman", report(126, "created 0 false ", tail=f"Error: {CDI}\n"), "--gpus", CDI),
    (
        "docker",
        report(125, "created 128 false network no not found"),
        "--network",
        "network no not found",
    ),
    (
        "docker",
        report(
            125,
            tail="Unable to find image\n"
            "docker: Error response from daemon: Minimum memory limit allowed is 6MB.\n"
            "See 'docker run --help'.\ntime=\"now\" level=error\n\n",
        ),
        "--memory or --cpu",
        "Minimum memory limit allowed is 6MB.",
    ),
    (
        "docker",
        report(125, tail='docker: Invalid --security-opt: "bogus".\n'),
        "--security",
        'Invalid --security-opt: "bogus".',
    ),
    (
        "apptainer",
        report(255, tail=f"INFO:    x\nFATAL:   container creation failed: {CGROUPS}\n"),
        "--memory or --cpu",
        f"container creation failed: {CGROUPS}",
    ),
    (
        "apptainer",
        report(255, tail=f"FATAL:   container creation failed: {ROOT_NEEDED}\n"),
        "--network",
        f"container creation failed: {ROOT_NEEDED}",
    ),
]


@pytest.mark.parametrize(("platform", "task_report", "setting", "said"), REFUSED)
def test_a_setting_that_an_engine_refuses_is_named(
    platform: str, task_report: TaskReport, setting: str, said: str
) -> None:
    with pytest.raises(HostUnfitError) as caught:
        derive_outcome(attrs.evolve(TICKET, platform=platform), task_on(platform), task_report)
    assert caught.value.exit_code == 122
    assert str(caught.value).startswith(f"h: {platform} cannot apply {setting}")
    assert str(caught.value).endswith(f" to task t: {said}")
    assert caught.value.hint


def task_on(platform: str) -> TaskHandle:
    container = "" if platform in {"singularity", "apptainer"} else "c"
    return TaskHandle(task="t", engine=(platform,), container=container)


@pytest.mark.parametrize(
    ("platform", "task_report", "code", "reason"),
    [
        ("docker", report(127, "created 127 false exec: no x"), 127, "failed to start: exec: no"),
        (
            "docker",
            report(127, "created 127 false ", tail=""),
            127,
            "failed to start: see the engine's message",
        ),
        ("podman", report(127, "created 0 false ", tail="Error: crun: no"), 127, "failed to s"),
        ("docker", report(1, "exited 1 false ", tail="Error: cgroups"), 1, ""),
        ("apptainer", report(255, tail="FATAL:   stat /x: no such file\n"), 255, "failed to s"),
        ("apptainer", report(255, tail="FATAL:   cgroups\nof the task\n"), 255, ""),
        ("singularity", report(1, tail="Traceback\nError: network\n"), 1, ""),
        ("singularity", report(7, tail="FATAL:   network\n"), 7, ""),
    ],
)
def test_what_is_the_cubes_own_failure_stays_one(
    platform: str, task_report: TaskReport, code: int, reason: str
) -> None:
    outcome = derive_outcome(
        attrs.evolve(TICKET, platform=platform), task_on(platform), task_report
    )
    assert (outcome.status, outcome.exit_code) == (Status.FAILED, code)
    assert outcome.reason.startswith(reason)
    assert bool(outcome.reason) == bool(reason)


def test_a_container_that_no_host_could_make_is_its_hosts_failure() -> None:
    sif = attrs.evolve(TICKET, platform="apptainer")
    said = "container creation failed: no user namespaces"
    with pytest.raises(HostUnfitError, match=f"of task t .status 255.: {said}"):
        derive_outcome(sif, task_on("apptainer"), report(255, tail=f"FATAL:   {said}"))


def test_machines_are_named_as_images_name_them() -> None:
    facts = HostFacts(
        home="/h", root="/r", user="u", uid="1", machine="aarch64", root_id="i",
        rsync="3.2.7", kinds={},
    )  # fmt: skip
    assert facts.architecture == "arm64"


@pytest.mark.parametrize("code", ["256", "512", "1000000", "-1", "²"])
def test_an_exit_code_that_no_process_has_is_no_success(code: str) -> None:
    """A process of this machine that exits with 256 would exit with 0."""
    facts = {"exit": code, "alive": "yes", "stdout": "0", "stderr": "0"}
    connection = FakeConnection("h")
    connection.answer("mlcr_report_task", Reply(0, records(facts), b""))
    with pytest.raises(StateUnknownError, match="could not be read"):
        read_task(connection, TICKET, 1)
    task_report = derive_outcome(TICKET, TASK, report(3, f"exited {code} false "))
    assert (task_report.status, task_report.exit_code) == (Status.FAILED, 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("", None), ("1795461442", 1795461442.0), ("1795461442.123", 1795461442.123)],
)
def test_a_time_has_a_fraction_if_the_host_knows_it(
    text: str | None, seconds: float | None
) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "soon"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a whole number"):
        parse_time(text)
