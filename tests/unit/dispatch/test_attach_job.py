# SPDX-License-Identifier: Apache-2.0
"""A job that was started before: followed, looked at, pulled and stopped by a later command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from mlcube_remote.dispatch.attach import AttachOptions, attach_job, pull_job, status_job, stop_job
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import (
    DetachedError,
    NotStartedError,
    PlanError,
    StateUnknownError,
    UnreachableError,
)
from mlcube_remote.events.outcome import JobOutcome, Status
from mlcube_remote.jobs.lookup import RecordedJob
from mlcube_remote.jobs.query import LIVE
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import RSYNC
from mlcube_remote.ui.tables.next_steps import next_steps
from tests.support.fake_host import FakeHost, cut
from tests.support.fake_host_state import HostConnection
from tests.support.fake_jobs import Script
from tests.support.fake_library import end_task
from tests.support.fake_runs import RUN_ID, TRAINS, Client, MakeClient, checked, code

ATTACH = f"mlcube-remote attach {RUN_ID}"
DOWN = UnreachableError("gpu01", "connection refused")
EVERYTHING = AttachOptions()

Command = Callable[[RecordedJob, RunContext], JobOutcome]


def attach(known: RecordedJob, run: RunContext) -> JobOutcome:
    return attach_job(known, EVERYTHING, run)


COMMANDS: dict[str, Command] = {
    "attach": attach,
    "look": status_job,
    "stop": stop_job,
    "pull": pull_job,
}


@pytest.fixture
def started(host: FakeHost, make_client: MakeClient) -> Client:
    """Return the client of a job that was detached while its first task runs."""
    first = make_client("train", "evaluate", run={"detach": True})
    assert first.do().status is Status.RUNNING
    host.calls.clear()
    return make_client("train", "evaluate")


def test_attaching_follows_a_job_to_its_end(host: FakeHost, started: Client) -> None:
    outcome = checked(attach(started.known(), started.run))
    assert (outcome.status, outcome.error, code(outcome)) == (Status.SUCCEEDED, None, 0)
    assert started.output() == TRAINS.stdout
    assert started.stages() == ["connect", "run train", "run evaluate", "pull"]
    assert host.functions()[0] == "mlcr_print_job_state"
    assert (started.workspace / "report.json").exists()
    record = started.record()
    assert (record["status"], len(record["outputs"])) == ("succeeded", 3)
    assert record["ticket"]["job_id"] == started.job.id


def test_a_job_without_a_record_is_asked_of_its_host(
    host: FakeHost, started: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # outputs go there
    known = started.known(with_ticket=False)
    outcome = checked(attach(known, started.run))
    assert outcome.succeeded
    assert host.args("mlcr_report_jobs") == [("/r", "all")]
    targets = {output.path for output in outcome.outputs}
    assert not any(path.is_relative_to(started.workspace) for path in targets), (
        "a host says nothing about paths of this machine"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_job_that_its_host_does_not_know(host: FakeHost, started: Client, command: str) -> None:
    host.jobs.clear()
    for known in (started.known(), started.known(with_ticket=False)):
        outcome = checked(COMMANDS[command](known, started.run))
        assert isinstance(outcome.error, NotStartedError)
        assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, 1)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_job_whose_host_cannot_be_reached(host: FakeHost, started: Client, command: str) -> None:
    host.refuse(always=DOWN)
    outcome = checked(COMMANDS[command](started.known(), started.run))
    assert outcome.error is DOWN
    assert (outcome.status, code(outcome)) == (Status.UNKNOWN, 120), "it may run all the same"
    assert started.record()["status"] == "unknown"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_job_that_never_started_does_not_become_doubtful(
    host: FakeHost, started: Client, command: str
) -> None:
    host.refuse(always=DOWN)
    known = started.known(with_ticket=False, may_run=False)
    outcome = checked(COMMANDS[command](known, started.run))
    assert (outcome.status, outcome.error, code(outcome)) == (Status.NOT_STARTED, DOWN, 120)
    assert "may still run" not in next_steps(RUN_ID, [outcome], can_rerun=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_host_knows_better_than_the_record_of_a_job_that_never_started(
    host: FakeHost, started: Client, command: str
) -> None:
    outcome = checked(COMMANDS[command](started.known(may_run=False), started.run))
    assert outcome.error is None
    assert outcome.status is not Status.NOT_STARTED


@pytest.mark.parametrize("command", COMMANDS)
def test_a_connection_that_breaks_is_made_again(
    host: FakeHost, started: Client, command: str
) -> None:
    host.cut("mlcr_print_job_state")
    outcome = checked(COMMANDS[command](started.known(), started.run))
    assert outcome.error is None
    assert started.notes()[:2] == ["connection lost; reconnecting", "connected again"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_host_that_stays_away(host: FakeHost, started: Client, command: str) -> None:
    host.when("mlcr_print_job_state", lambda _: host.refuse(always=DOWN))
    host.cut("mlcr_print_job_state")
    outcome = checked(COMMANDS[command](started.known(), started.run))
    assert isinstance(outcome.error, StateUnknownError)
    assert outcome.error.hint == ATTACH
    assert (outcome.status, code(outcome)) == (Status.UNKNOWN, 123)


@pytest.mark.parametrize("command", ["attach", "look", "pull"])
def test_a_job_whose_client_vanished_before_the_launch(
    host: FakeHost, started: Client, command: str
) -> None:
    host.job.tasks.clear()  # its client's connection is closed
    outcome = checked(COMMANDS[command](started.known(), started.run))
    assert isinstance(outcome.error, NotStartedError)
    assert outcome.error.reason == "the job was not started: its client exited before that"
    assert outcome.status is Status.NOT_STARTED


def prepare(host: FakeHost) -> None:
    """Make the job one that a client, which is still connected, prepares."""
    host.job.tasks.clear()
    host.job.client = None


def test_a_job_that_is_prepared_is_waited_for(host: FakeHost, started: Client) -> None:
    prepare(host)
    job = host.job
    host.when(
        "mlcr_print_job_state", lambda _: job.launch(["train", "evaluate"], host.scripts), nth=3
    )
    assert checked(attach(started.known(), started.run)).succeeded
    assert len(host.args("mlcr_print_job_state")) == 3


def test_waiting_for_a_job_that_is_prepared_can_be_ended(host: FakeHost, started: Client) -> None:
    prepare(host)
    host.when("mlcr_print_job_state", lambda _: started.run.interrupts.detach(), nth=3)
    outcome = checked(attach(started.known(), started.run))
    assert code(outcome) == 130
    assert host.job.state == "preparing"


def test_a_job_in_preparation_counts_as_running(host: FakeHost, started: Client) -> None:
    prepare(host)
    outcome = checked(status_job(started.known(), started.run))
    assert (outcome.status, code(outcome)) == (Status.RUNNING, 0)


@pytest.mark.parametrize(
    ("how", "output"),
    [
        (AttachOptions(), TRAINS.stdout),
        # Lines of both streams count; without a recorded order, standard error comes last.
        (AttachOptions(tail=1), b""),
        (AttachOptions(tail=2), b"epoch 2\n"),
        (AttachOptions(tail=0), b""),
        (AttachOptions(tail=100), TRAINS.stdout),
        (AttachOptions(shows_output=False), b""),
    ],
)
def test_what_is_shown_of_what_was_written_before(
    host: FakeHost, started: Client, how: AttachOptions, output: bytes
) -> None:
    end_task(host, host.job)
    outcome = checked(attach_job(started.known(), how, started.run))
    assert outcome.succeeded
    assert started.output() == output


@pytest.mark.parametrize(("repeats", "output"), [(True, TRAINS.stdout), (False, b"")])
def test_what_was_seen_here_may_be_omitted(
    host: FakeHost, started: Client, repeats: bool, output: bytes
) -> None:
    end_task(host, host.job)
    known = started.known(is_seen=True)
    checked(attach_job(known, AttachOptions(repeats=repeats), started.run))
    assert started.output() == output


def test_showing_what_there_is_ends_at_once(host: FakeHost, started: Client) -> None:
    host.job.tasks[0].stdout = b"epoch 1\n"
    outcome = checked(attach_job(started.known(), AttachOptions(ends=True), started.run))
    assert (outcome.status, code(outcome)) == (Status.RUNNING, 0)
    assert started.output() == b"epoch 1\n"
    assert {"mlcr_follow_task", RSYNC}.isdisjoint(host.functions())


def test_following_without_pulling_looks_for_the_outputs(host: FakeHost, started: Client) -> None:
    host.job.launch(["train", "evaluate"], {"train": Script(makes={"train.log": b""})})
    outcome = checked(attach_job(started.known(), AttachOptions(pulls=False), started.run))
    assert host.args(RSYNC) == []
    assert [(task.status, task.reason) for task in outcome.tasks] == [
        (Status.FAILED, "exited 0 but did not produce its output model"),
        (Status.FAILED, "exited 0 but did not produce its output report"),
    ]


def test_attaching_can_be_left(host: FakeHost, started: Client) -> None:
    host.job.tasks[0].script = attrs.evolve(TRAINS, runs_until_stopped=True)
    host.when("mlcr_follow_task", lambda _: started.run.interrupts.detach())
    outcome = checked(attach(started.known(), started.run))
    assert isinstance(outcome.error, DetachedError)
    assert outcome.status is Status.RUNNING


def test_looking_at_a_job(host: FakeHost, started: Client) -> None:
    outcome = checked(status_job(started.known(), started.run))
    assert (outcome.status, code(outcome)) == (Status.RUNNING, 0)
    assert [task.status for task in outcome.tasks] == [Status.RUNNING, Status.NOT_STARTED]
    end_task(host, host.job)
    end_task(host, host.job, 4)
    outcome = checked(status_job(started.known(), started.run))
    assert [task.status for task in outcome.tasks] == [Status.SUCCEEDED, Status.FAILED]
    assert (outcome.status, code(outcome)) == (Status.FAILED, 4)
    assert set(host.functions()) == {"mlcr_print_job_state", "mlcr_report_task"}, (
        "nothing else is asked"
    )


def test_looking_at_a_job_whose_first_task_failed(host: FakeHost, started: Client) -> None:
    end_task(host, host.job, 3)
    outcome = checked(status_job(started.known(), started.run))
    assert [task.status for task in outcome.tasks] == [Status.FAILED, Status.NOT_STARTED]
    assert len(host.args("mlcr_report_task")) == 1


def test_looking_at_a_job_that_its_engine_refused(host: FakeHost, started: Client) -> None:
    host.job.tasks[0].script = Script(stderr=b"docker: no gpu\n", facts={"inspect": ""})
    end_task(host, host.job, 125)
    outcome = checked(status_job(started.known(), started.run))
    assert (outcome.status, outcome.error) == (Status.FAILED, None)
    assert outcome.tasks[0].reason.startswith("docker cannot apply --gpus")


def test_a_job_that_lost_its_supervisor_still_runs(host: FakeHost, started: Client) -> None:
    host.job.supervisor_died = True
    outcome = checked(status_job(started.known(), started.run))
    assert outcome.tasks[0].status is Status.RUNNING
    assert host.args("mlcr_adopt_task") == [], "who only looks changes nothing"


def test_stopping_a_job(host: FakeHost, started: Client) -> None:
    outcome = checked(stop_job(started.known(), started.run, grace=7))
    assert (outcome.status, code(outcome)) == (Status.CANCELLED, 130)
    assert host.args("mlcr_stop_job") == [(host.job.job_dir, "7")]
    assert host.functions()[-1] == "mlcr_report_task"
    assert started.record()["status"] == "cancelled"


def test_stopping_a_job_that_has_ended(host: FakeHost, started: Client) -> None:
    end_task(host, host.job, 3)
    outcome = checked(stop_job(started.known(), started.run))
    assert (outcome.status, code(outcome)) == (Status.FAILED, 3)
    assert started.notes() == ["nothing to do: it has ended"]
    assert host.args("mlcr_stop_job") == []


def test_a_job_that_succeeds_before_its_stop(host: FakeHost, started: Client) -> None:
    def succeed(_: object) -> None:
        while host.job.state in LIVE:
            end_task(host, host.job)

    host.when("mlcr_stop_job", succeed)
    outcome = checked(stop_job(started.known(), started.run))
    assert (outcome.status, code(outcome)) == (Status.SUCCEEDED, 0)
    assert started.notes() == ["the stop came too late: it had already succeeded"]


def test_a_job_that_stops_slowly_is_waited_for(host: FakeHost, started: Client) -> None:
    host.answer("mlcr_stop_job", Reply(0, b"stopped=yes\0", b""))

    def end(_: HostConnection) -> None:
        host.job.is_stopped = True
        end_task(host, host.job, 137)

    host.when("mlcr_print_job_state", end, nth=4)
    outcome = checked(stop_job(started.known(), started.run))
    assert outcome.status is Status.CANCELLED
    assert outcome.tasks[0].reason == ("stopped on request and killed, because it ignored SIGTERM")


def test_a_job_that_does_not_stop_is_unknown(host: FakeHost, started: Client) -> None:
    host.answer("mlcr_stop_job", Reply(0, b"stopped=yes\0", b""))
    # The wait lasts 30 s longer than the grace.
    outcome = checked(stop_job(started.known(), started.run, grace=-30))
    assert isinstance(outcome.error, StateUnknownError)
    assert outcome.error.reason == "the job was asked to stop and still runs"
    assert (outcome.status, code(outcome)) == (Status.UNKNOWN, 123)


def test_a_job_on_another_machine_cannot_be_stopped_from_here(
    host: FakeHost, started: Client
) -> None:
    host.answer("mlcr_print_job_state", Reply(0, b"elsewhere\n", b""))
    host.answer("mlcr_stop_job", Reply(0, b"node=n2\0", b""))
    outcome = checked(stop_job(started.known(), started.run))
    assert isinstance(outcome.error, StateUnknownError)
    assert outcome.error.reason.startswith("the job runs on n2, which shares this home")


def test_pulling_while_a_job_runs(host: FakeHost, started: Client) -> None:
    end_task(host, host.job)
    outcome = checked(pull_job(started.known(), started.run))
    assert (outcome.status, code(outcome)) == (Status.RUNNING, 0)
    assert [(each.name, each.is_partial) for each in outcome.outputs] == [
        *(("model", True), ("log", True))
    ]
    assert started.stages() == ["connect", "pull"]


def test_pulling_one_output_of_a_job_that_has_ended(host: FakeHost, started: Client) -> None:
    end_task(host, host.job)
    end_task(host, host.job)
    outcome = checked(pull_job(started.known(), started.run, names=frozenset({"report"})))
    assert outcome.succeeded
    assert [(each.name, each.is_partial) for each in outcome.outputs] == [("report", False)]
    assert sorted(path.name for path in started.workspace.iterdir()) == ["conf.yaml", "report.json"]


def test_a_wrong_name_of_an_output_is_no_failure_of_the_job(
    host: FakeHost, started: Client
) -> None:
    end_task(host, host.job)
    end_task(host, host.job)
    outcome = pull_job(started.known(), started.run, names=frozenset({"modle"}))
    assert isinstance(outcome.error, PlanError)
    assert [task.status for task in outcome.tasks] == [Status.SUCCEEDED] * 2
    assert next_steps(RUN_ID, [outcome], can_rerun=True) == ""


def test_pulling_an_output_that_there_is_not(host: FakeHost, started: Client) -> None:
    outcome = checked(pull_job(started.known(), started.run, names=frozenset({"modle", "log"})))
    assert isinstance(outcome.error, PlanError)
    assert outcome.error.message == "gpu01: the run has no output modle"
    assert outcome.error.hint == "it has: log, model, report"
    assert code(outcome) == 2
    assert host.args(RSYNC) == []


def test_a_pull_that_is_cut_is_retried(host: FakeHost, started: Client) -> None:
    end_task(host, host.job)
    end_task(host, host.job)
    host.when(RSYNC, cut, after=True)
    assert checked(pull_job(started.known(), started.run)).succeeded
    assert (started.workspace / "model/weights").read_bytes() == b"123"


def test_commands_do_nothing_once_the_user_has_ended_them(host: FakeHost, started: Client) -> None:
    started.run.interrupts.stop()
    for command in COMMANDS.values():
        outcome = checked(command(started.known(), started.run))
        assert code(outcome) == 130
    assert host.calls == []
