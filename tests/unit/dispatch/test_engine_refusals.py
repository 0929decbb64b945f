# SPDX-License-Identifier: Apache-2.0
"""A job whose engine starts nothing: its host's failure, its cube's, or the task's own."""

from __future__ import annotations

import pytest

from mlcube_remote.errors import HostUnfitError
from mlcube_remote.events.outcome import Status
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import RSYNC
from tests.support.fake_host import FakeHost
from tests.support.fake_host_state import HostConnection
from tests.support.fake_jobs import Script
from tests.support.fake_library import end_task
from tests.support.fake_runs import MakeClient, code

DAEMON = "docker: Error response from daemon: "

REFUSED = {
    "devices": (
        *(125, "could not select device driver with capabilities: [[gpu]].", ""),
        "docker cannot apply --gpus (or platform.accelerator_count) to task train: ",
    ),
    "memory": (
        *(125, "Minimum memory limit allowed is 6MB.", ""),
        "docker cannot apply --memory or --cpu to task train: Minimum memory",
    ),
    "network": (
        *(125, "network nowhere not found.", ""),
        "docker cannot apply --network to task train: network nowhere not found.",
    ),
    "security": (
        *(125, "invalid --security-opt 2: x", ""),
        "docker cannot apply --security to task train: invalid --security-opt",
    ),
    "no reason known": (
        *(125, "something else.", ""),
        "docker could not start the container of task train (status 125): something else.",
    ),
    "created, and not started": (
        *(128, "mount failed.", "created 128 false cannot start"),
        "docker could not start the container of task train (status 128): cannot start",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_engine_refuses_is_the_hosts_failure(
    host: FakeHost, make_client: MakeClient, case: str
) -> None:
    exit_code, said, inspect, message = REFUSED[case]
    host.scripts["train"] = Script(
        exit_code=exit_code,
        stderr=f"{DAEMON}{said}\nSee 'docker run --help'.\n".encode(),
        facts={"inspect": inspect},
    )
    work = make_client("train", "evaluate")
    outcome = work.do()
    assert isinstance(outcome.error, HostUnfitError)
    assert outcome.error.reason.startswith(message)
    assert (outcome.status, code(outcome)) == (Status.FAILED, 122)
    assert [task.status for task in outcome.tasks] == [Status.NOT_STARTED] * 2
    assert len(host.args(RSYNC)) == 1, "nothing ran, so nothing is pulled"
    assert work.record()["error"]["kind"] == "HostUnfit"


def test_an_engine_that_says_nothing(host: FakeHost, make_client: MakeClient) -> None:
    host.scripts["train"] = Script(exit_code=125, facts={"inspect": ""})
    outcome = make_client("train").do()
    assert isinstance(outcome.error, HostUnfitError)
    assert outcome.error.reason == "docker could not start the container of task train (status 125)"
    assert outcome.error.hint is not None


TASKS_OWN = {
    "no such program": (
        *(127, {"inspect": "created 127 false exec: nothere: not found"}, Status.FAILED, 127),
        "failed to start: exec: nothere: not found",
    ),
    "fails": (3, {"inspect": "exited 3 false"}, Status.FAILED, 3, ""),
    "out of memory": (*(137, {"inspect": "exited 137 true"}, Status.KILLED, 137, "out of memory"),),
    "a process inside out of memory": (
        *(1, {"inspect": "exited 1 true"}, Status.FAILED, 1),
        "a process inside was killed: out of memory",
    ),
    "out of time": (
        *(143, {"inspect": "exited 143 false", "timedout": "yes"}, Status.KILLED, 124),
        "reached its time limit of 5 s",
    ),
    "out of time, and ignores SIGTERM": (
        *(137, {"inspect": "exited 137 false", "timedout": "yes"}, Status.KILLED, 124),
        "reached its time limit of 5 s and was killed 10 s later, because it ignored SIGTERM",
    ),
    "engine restarted": (
        *(137, {"inspect": "exited 137 false", "engine": "restarted"}, Status.KILLED, 137),
        "the engine was stopped or restarted while it ran",
    ),
    "removed": (
        *(137, {"inspect": "", "container": "absent"}, Status.LOST, 1),
        "its container was removed outside mlcube-remote",
    ),
}


@pytest.mark.parametrize("case", TASKS_OWN)
def test_how_a_task_ended_is_the_outcome(
    host: FakeHost, make_client: MakeClient, case: str
) -> None:
    exit_code, facts, status, expected, reason = TASKS_OWN[case]
    host.scripts["train"] = Script(exit_code=exit_code, facts=facts)
    work = make_client("train", timeout=5)
    outcome = work.do()
    assert (outcome.status, outcome.error, code(outcome)) == (status, None, expected)
    assert outcome.tasks[0].reason == reason
    assert work.details()["run train"] == (reason or f"exit code {exit_code}")
    assert work.stages()[-1] == "pull", "what a failed task left is pulled"


WITHOUT_EXIT = {
    "rebooted": ({"boot": "changed"}, "the host rebooted while it ran (boot id changed)"),
    "no container": (
        {"container": "absent"},
        "its supervisor is gone, and its container was removed",
    ),
    "nothing": ({}, "its supervisor is gone and left no exit code"),
}


def lose(host: FakeHost, **facts: str) -> None:
    report = {"exit": "pending", "alive": "no", "stdout": "0", "stderr": "0", **facts}
    answer = Reply(0, "".join(f"{key}={value}\0" for key, value in report.items()).encode(), b"")
    host.answer("mlcr_follow_task", Reply(0, b"", b""))
    host.answer("mlcr_report_task", answer)


@pytest.mark.parametrize("case", WITHOUT_EXIT)
def test_a_task_that_is_lost(host: FakeHost, make_client: MakeClient, case: str) -> None:
    facts, reason = WITHOUT_EXIT[case]
    lose(host, started="1000", **facts)
    outcome = make_client("train").do()
    assert (outcome.status, outcome.tasks[0].reason, code(outcome)) == (Status.LOST, reason, 1)


def test_a_task_whose_engine_does_not_answer_is_given_another_supervisor_or_is_unknown(
    host: FakeHost, make_client: MakeClient
) -> None:
    lose(host, started="1000", container="unknown")
    outcome = make_client("train").do()
    assert (outcome.status, code(outcome)) == (Status.UNKNOWN, 123)
    assert "docker gives no answer: its container may still run" in str(outcome.error)


def test_a_task_that_was_stopped_before_it_began(host: FakeHost, make_client: MakeClient) -> None:
    lose(host, stop="yes")
    outcome = make_client("train").do()
    assert (outcome.status, code(outcome)) == (Status.CANCELLED, 130)
    assert outcome.tasks[0].reason == "stopped before it started"


def test_a_task_on_another_machine_with_this_home(host: FakeHost, make_client: MakeClient) -> None:
    host.answer("mlcr_follow_task", *[Reply(0, b"", b"")] * 2)
    lose_on = b"exit=pending\0alive=no\0stdout=0\0stderr=0\0node=n2\0"
    host.answer("mlcr_report_task", *[Reply(0, lose_on, b"")] * 3)
    work = make_client("train")
    assert work.do().succeeded
    (note,) = work.notes()
    assert note.startswith("the job runs on n2 (same home directory)"), "reported once"


MARKS = {
    "cut": (
        {"cut": "yes"},
        "the task's output is larger than the limit of its log: the log is incomplete",
    ),
    "degraded": (
        {"log": "degraded"},
        "a supervisor died: some of the task's output may be missing",
    ),
    "foreign": (
        {"foreign": "chown failed"},
        "files written by train belong to another user and could not be given to you",
    ),
}


@pytest.mark.parametrize("case", MARKS)
def test_what_happened_to_the_log_or_the_files_is_noted(
    host: FakeHost, make_client: MakeClient, case: str
) -> None:
    facts, text = MARKS[case]
    script = host.scripts["train"]
    host.scripts["train"] = Script(makes=script.makes, facts=facts)
    work = make_client("train")
    assert work.do().succeeded
    (note,) = work.notes()
    assert note.startswith(text)


def test_a_task_that_ended_while_nobody_followed(host: FakeHost, make_client: MakeClient) -> None:
    def finish(_: HostConnection) -> None:
        end_task(host, host.job)

    host.when("mlcr_launch_job", finish, after=True)
    work = make_client("train")
    assert work.do().succeeded
    assert work.output() == host.scripts["train"].stdout
