# SPDX-License-Identifier: Apache-2.0
"""A job that the user stops or leaves, and what a pool is asked when a job has ended."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from mlcube_remote.errors import (
    CancelledError,
    DetachedError,
    DetachedPullError,
    MLCubeRemoteError,
    PlanError,
    StateUnknownError,
    StoppedByUserError,
    TransferError,
    UnexpectedError,
    UnreachableError,
)
from mlcube_remote.events.model import Level
from mlcube_remote.events.outcome import Status
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import RSYNC
from tests.support.fake_host import FakeHost
from tests.support.fake_host_state import HostConnection, wait_until
from tests.support.fake_jobs import Script
from tests.support.fake_runs import RUN_ID, TRAINS, MakeClient, code

ENDLESS = attrs.evolve(TRAINS, runs_until_stopped=True)
DOWN = UnreachableError("gpu01", "connection refused")


def end(how: Callable[[], None]) -> Callable[[HostConnection], None]:
    """Return a hook that ends the run and waits until the connection is closed for that."""

    def action(connection: HostConnection) -> None:
        how()
        wait_until(lambda: connection.is_closed)

    return action


@pytest.mark.parametrize("function", ["mlcr_probe_host", RSYNC, "mlcr_run_while_connected"])
@pytest.mark.parametrize("how", ["stop", "detach"])
def test_a_job_that_is_ended_before_its_launch(
    host: FakeHost, make_client: MakeClient, function: str, how: str
) -> None:
    host.has_image = False
    work = make_client("train")
    host.when(function, end(getattr(work.run.interrupts, how)))
    outcome = work.do()
    assert type(outcome.error) is StoppedByUserError
    is_said = outcome.error.message == "interrupted before the job had started, so it does not run"
    assert is_said == (how == "detach"), "a user who detaches expects that it runs"
    assert (outcome.status, code(outcome)) == (Status.CANCELLED, 130)
    assert [task.status for task in outcome.tasks] == [Status.NOT_STARTED]
    assert len(host.connections) == 1, "no reconnection"
    assert host.args("mlcr_launch_job") == []
    assert {job.state for job in host.jobs.values()} <= {"abandoned"}
    assert work.record()["status"] == "cancelled"


@pytest.mark.parametrize("how", ["stop", "detach"])
def test_a_job_that_is_ended_before_it_connects(
    host: FakeHost, make_client: MakeClient, how: str
) -> None:
    work = make_client("train")
    getattr(work.run.interrupts, how)()
    outcome = work.do()
    assert (outcome.status, code(outcome)) == (Status.CANCELLED, 130)
    assert host.connections == []


def test_a_running_task_is_stopped(host: FakeHost, make_client: MakeClient) -> None:
    host.scripts["train"] = ENDLESS
    work = make_client("train", "evaluate")
    host.when("mlcr_follow_task", lambda _: work.run.interrupts.stop())
    outcome = work.do()
    assert [(task.status, task.reason) for task in outcome.tasks] == [
        (Status.CANCELLED, "stopped on request"),
        (Status.NOT_STARTED, ""),
    ]
    assert (outcome.status, outcome.error, code(outcome)) == (Status.CANCELLED, None, 130)
    assert host.args("mlcr_stop_job") == [(host.job.job_dir, "10")]
    assert work.notes() == ["stopping (SIGTERM, after 10 s SIGKILL)"]
    assert work.output() == TRAINS.stdout, "what it wrote to its end"
    assert {output.is_partial for output in outcome.outputs} == {True}
    assert work.stages()[-1] == "pull"


def test_a_stop_that_is_lost_is_asked_again_on_the_new_connection(
    host: FakeHost, make_client: MakeClient
) -> None:
    host.scripts["train"] = ENDLESS
    work = make_client("train")
    host.when("mlcr_follow_task", lambda _: work.run.interrupts.stop())
    host.cut("mlcr_stop_job")
    outcome = work.do()
    assert outcome.status is Status.CANCELLED
    assert [call.function for call in host.connections[1].calls][:2] == [
        "mlcr_print_boot_id",
        "mlcr_stop_job",
    ]
    assert "not stopped yet: gpu01: connection lost" in work.notes()
    assert "connected again" in work.notes()


def test_a_stop_while_the_host_is_away_leaves_the_state_unknown(
    host: FakeHost, make_client: MakeClient
) -> None:
    host.scripts["train"] = ENDLESS
    work = make_client("train")
    host.when("mlcr_follow_task", lambda _: work.run.interrupts.stop())
    host.when("mlcr_stop_job", lambda _: host.refuse(always=DOWN))
    host.cut("mlcr_stop_job")
    outcome = work.do()
    assert type(outcome.error) is StoppedByUserError
    assert (outcome.status, code(outcome)) == (Status.UNKNOWN, 130)
    assert host.job.state == "running"


def test_a_task_that_ends_although_it_is_to_stop(host: FakeHost, make_client: MakeClient) -> None:
    work = make_client("train")
    host.when("mlcr_report_task", lambda _: work.run.interrupts.stop())
    host.when("mlcr_report_task", lambda _: wait_until(lambda: bool(host.args("mlcr_stop_job"))))
    outcome = work.do()
    assert (outcome.status, code(outcome)) == (Status.SUCCEEDED, 0)
    assert host.job.is_stopped is False, "there was nothing to stop any more"
    assert work.notes()[-2].startswith("stopping (SIGTERM, ")
    assert work.notes()[-1] == "the stop came too late: it had already succeeded"


def test_a_task_that_fails_before_its_stop(host: FakeHost, make_client: MakeClient) -> None:
    host.scripts["train"] = Script(exit_code=3)
    work = make_client("train")
    host.when("mlcr_report_task", lambda _: work.run.interrupts.stop())
    host.when("mlcr_report_task", lambda _: wait_until(lambda: bool(host.args("mlcr_stop_job"))))
    outcome = work.do()
    assert (outcome.status, code(outcome)) == (Status.FAILED, 3)
    assert work.notes()[-1] == "the stop came too late: it had already ended"


@pytest.mark.parametrize("how", ["stop", "detach"])
def test_a_job_that_is_ended_while_its_outputs_are_pulled(
    host: FakeHost, make_client: MakeClient, how: str
) -> None:
    work = make_client("train", run={"is_fast": False})

    def interrupt(connection: HostConnection) -> None:
        getattr(work.run.interrupts, how)()
        wait_until(lambda: connection.is_closed or any("late" in each for each in work.notes()))

    # The first transfer is the upload.
    host.when(RSYNC, interrupt, nth=2)
    outcome = work.do()
    assert [task.status for task in outcome.tasks] == [Status.SUCCEEDED]
    if how == "stop":
        assert (outcome.status, code(outcome)) == (Status.SUCCEEDED, 0)
        assert work.notes() == ["the stop came too late: it had already succeeded"]
        return
    assert isinstance(outcome.error, DetachedPullError)
    assert "the job itself has succeeded" in str(outcome.error)
    assert outcome.error.hint == f"mlcube-remote pull {RUN_ID}"
    assert code(outcome) == 130


def test_a_running_task_is_left(host: FakeHost, make_client: MakeClient) -> None:
    host.scripts["train"] = ENDLESS
    work = make_client("train", "evaluate")
    host.when("mlcr_follow_task", lambda _: work.run.interrupts.detach())
    outcome = work.do()
    assert isinstance(outcome.error, DetachedError)
    assert outcome.error.hint == f"mlcube-remote attach {RUN_ID}"
    assert (outcome.status, code(outcome)) == (Status.RUNNING, 130)
    assert [task.status for task in outcome.tasks] == [Status.RUNNING, Status.NOT_STARTED]
    assert host.job.state == "running"
    assert host.args("mlcr_stop_job") == []
    assert work.record()["status"] == "running"


def test_a_job_that_is_detached(host: FakeHost, make_client: MakeClient) -> None:
    work = make_client("train", "evaluate", run={"detach": True})
    outcome = work.do()
    assert (outcome.status, outcome.error, code(outcome)) == (Status.RUNNING, None, 0)
    assert [task.status for task in outcome.tasks] == [Status.RUNNING, Status.NOT_STARTED]
    assert host.functions()[-1] == "mlcr_launch_job"
    assert host.connections[0].is_closed
    assert work.record()["status"] == "running"


def test_a_job_that_is_given_up_because_of_others(host: FakeHost, make_client: MakeClient) -> None:
    host.scripts["train"] = ENDLESS
    work = make_client("train")
    host.when(
        "mlcr_follow_task", lambda _: work.run.interrupts.cancel("cancelled: gpu02 had failed")
    )
    outcome = work.do()
    assert isinstance(outcome.error, CancelledError)
    assert outcome.error.message == "cancelled: gpu02 had failed"
    assert (outcome.status, code(outcome)) == (Status.CANCELLED, 130)


def test_an_outcome_is_recorded_before_it_is_returned(make_client: MakeClient) -> None:
    work = make_client("train")
    outcome = work.do(may_run=True)
    assert outcome.succeeded
    assert work.record()["status"] == outcome.status.value


BROKEN = {
    "upload": (1, Reply(11, b"", b"rsync: No space left on device\n"), Status.NOT_STARTED),
    "download": (2, Reply(11, b"", b"rsync: No space left on device\n"), Status.FAILED),
    "download as root": (2, Reply(23, b"", b"rsync: Permission denied (13)\n"), Status.FAILED),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_transfer_that_fails_on_a_connection_that_works(
    host: FakeHost, make_client: MakeClient, case: str
) -> None:
    nth, answer, status = BROKEN[case]
    host.when(RSYNC, lambda _: host.answer(RSYNC, answer), nth=nth)
    work = make_client("train")
    outcome = work.do()
    assert isinstance(outcome.error, TransferError)
    assert (outcome.status, code(outcome)) == (status, 121)
    assert len(host.connections) == 1
    launched = status is Status.FAILED
    assert [task.status for task in outcome.tasks] == [
        Status.SUCCEEDED if launched else Status.NOT_STARTED
    ]
    assert bool(host.args("mlcr_launch_job")) == launched
    assert bool(host.jobs) == launched, "a claim that leads to nothing is given back"


def test_an_output_that_is_not_what_was_declared_is_missing(
    host: FakeHost, make_client: MakeClient
) -> None:
    host.scripts["train"] = Script(makes={"model": b"a file", "train.log": b"x"})
    work = make_client("train")
    outcome = work.do()
    assert outcome.error is None
    assert (outcome.status, code(outcome)) == (Status.FAILED, 1)
    assert outcome.tasks[0].reason == "exited 0 but did not produce its output model"
    assert [output.name for output in outcome.outputs] == ["log"]
    expected = "not pulled: 'model' is a file, but was declared as a directory"
    assert expected in work.notes(Level.WARNING)
    assert {path.name for path in work.workspace.iterdir()} == {"conf.yaml", "train.log"}


@pytest.mark.parametrize(
    ("problem", "expected"), [(ZeroDivisionError("oops"), 70), (PlanError("no"), 2)]
)
def test_what_goes_wrong_here_is_an_outcome_too(
    host: FakeHost, make_client: MakeClient, problem: Exception, expected: int
) -> None:
    def fail(_: HostConnection) -> None:
        raise problem

    host.when("mlcr_launch_job", fail)
    work = make_client("train")
    outcome = work.do_unchecked()
    assert isinstance(outcome.error, MLCubeRemoteError)
    assert code(outcome) == expected
    if expected == 70:
        assert isinstance(outcome.error, UnexpectedError)
        assert outcome.error.__cause__ is problem
        assert "a bug in mlcube-remote: ZeroDivisionError('oops')" in outcome.error.message


def test_an_answer_that_makes_no_sense_leaves_the_state_unknown(
    host: FakeHost, make_client: MakeClient
) -> None:
    host.answer("mlcr_report_task", Reply(0, b"exit=0\0", b""))
    outcome = make_client("train").do()
    assert isinstance(outcome.error, StateUnknownError)
    assert (outcome.status, code(outcome)) == (Status.UNKNOWN, 123)
