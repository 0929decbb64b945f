# SPDX-License-Identifier: Apache-2.0
"""A connection that breaks during a job: what is done again, what is not, and what is unknown."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from mlcube_remote.dispatch.outcome import Status
from mlcube_remote.errors import (
    AuthenticationError,
    BusyError,
    StateUnknownError,
    UnreachableError,
)
from mlcube_remote.transport.base import Reply, Stream
from mlcube_remote.transport.fake import RSYNC
from tests.support.cubes import RUN_ID, TRAINS, Client, MakeClient, code
from tests.support.fake_host import FakeHost, cut
from tests.support.fake_jobs import FakeJob
from tests.support.fake_library import HostConnection, end_task, wait_until

DOWN = UnreachableError("gpu01", "connection refused")
RECONNECTED = ["connection lost; reconnecting", "connected again"]
ATTACH = f"mlcube-remote attach {RUN_ID}"


def assert_succeeded(work: Client, host: FakeHost) -> None:
    outcome = work.do()
    assert (outcome.status, outcome.error, code(outcome)) == (Status.SUCCEEDED, None, 0)
    assert work.output() == TRAINS.stdout, "no byte twice, none left out"
    assert work.output(Stream.STDERR) == TRAINS.stderr
    assert (work.workspace / "model/weights").read_bytes() == b"123"
    assert host.connections[-1].is_closed


@pytest.mark.parametrize(
    ("function", "after"),
    [("mlcr_probe", False), ("mlcr_probe", True), ("mlcr_reserve", False)],
)
def test_a_cut_before_the_claim(
    host: FakeHost, make_client: MakeClient, function: str, after: bool
) -> None:
    host.cut(function, after=after)
    work = make_client("train")
    assert_succeeded(work, host)
    assert work.notes() == RECONNECTED
    assert len(host.connections) == 2
    assert len(host.args("mlcr_reserve")) == 1


def test_a_claim_whose_answer_is_lost_is_made_again(
    host: FakeHost, make_client: MakeClient
) -> None:
    host.cut("mlcr_reserve", after=True)
    work = make_client("train")
    assert_succeeded(work, host)
    assert host.job.client is host.connections[1]
    assert host.functions("mlcr_image")[1:7] == [
        *("mlcr_reserve", "mlcr_boot", "mlcr_reserve", "mlcr_state", "mlcr_remove"),
        "mlcr_reserve",
    ]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("function", [RSYNC, "mlcr_attended"])
def test_a_cut_between_claim_and_launch(
    host: FakeHost, make_client: MakeClient, function: str, after: bool
) -> None:
    host.has_image = function != "mlcr_attended"
    host.cut(function, after=after)
    work = make_client("train")
    assert_succeeded(work, host)
    assert work.notes() == RECONNECTED
    assert host.job.client is host.connections[1], "claimed again before the work goes on"
    assert len(host.args("mlcr_remove")) == 1, "the claim of the first connection was dead"
    assert len(host.args("mlcr_launch")) == 1


def test_a_question_for_the_image_that_is_cut_after_the_upload(
    host: FakeHost, make_client: MakeClient
) -> None:
    work = make_client("train")

    def cut_late(connection: HostConnection) -> None:
        wait_until(lambda: "sync" in work.stages())
        cut(connection)

    host.when("mlcr_image", cut_late)
    assert_succeeded(work, host)


@pytest.mark.xfail(reason="the answer of the old connection is read on the new one, which works")
def test_a_question_for_the_image_that_is_cut_with_the_upload(
    host: FakeHost, make_client: MakeClient
) -> None:
    host.cut("mlcr_image")
    host.when(RSYNC, lambda _: wait_until(lambda: host.connections[0].is_cut))
    assert_succeeded(make_client("train"), host)


def test_a_job_that_another_client_took_over_meanwhile(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    host.has_image = False
    work = make_client("train")
    other = work.another(host, tmp_path, detach=True)

    def take_over(connection: HostConnection) -> None:
        cut(connection)
        assert other.do().status is Status.RUNNING

    host.when("mlcr_attended", take_over)
    outcome = work.do()
    assert isinstance(outcome.error, StateUnknownError)
    assert "another client took the run over while this one was cut off" in outcome.error.message
    assert code(outcome) == 123
    assert len(host.args("mlcr_launch")) == 1
    assert host.job.state == "running", "and its claim was not given back"


@pytest.mark.parametrize("after", [False, True])
def test_a_cut_during_the_launch(host: FakeHost, make_client: MakeClient, after: bool) -> None:
    host.cut("mlcr_launch", after=after)
    work = make_client("train")
    assert_succeeded(work, host)
    assert len(host.args("mlcr_launch")) == (2 if after else 1)
    assert len(host.args("mlcr_reserve")) == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_launch_whose_answer_never_comes(
    host: FakeHost, make_client: MakeClient, after: bool
) -> None:
    host.when("mlcr_launch", lambda _: host.refuse(always=DOWN))
    host.cut("mlcr_launch", after=after)
    work = make_client("train")
    outcome = work.do()
    assert isinstance(outcome.error, StateUnknownError)
    assert outcome.error.hint == ATTACH
    assert (outcome.status, code(outcome)) == (Status.UNKNOWN, 123)
    assert [task.status for task in outcome.tasks] == [Status.UNKNOWN], "never 'failed'"
    assert work.record()["status"] == "unknown"
    assert host.job.state == ("running" if after else "abandoned")
    assert host.args("mlcr_give_back") == []


@pytest.mark.parametrize("sizes", [(0,), (5,), (1, 2, 3), (len(TRAINS.stdout),), (0, 100, 0)])
def test_a_log_goes_on_at_the_exact_byte(
    host: FakeHost, make_client: MakeClient, sizes: tuple[int, ...]
) -> None:
    host.cut_follow(*sizes)
    work = make_client("train")
    assert_succeeded(work, host)
    begins = [int(args[2]) for args in host.args("mlcr_follow")]
    passed = [min(sum(sizes[:n]), len(TRAINS.stdout)) for n in range(len(sizes) + 1)]
    assert begins == passed
    assert work.notes() == RECONNECTED * len(sizes)
    assert len(host.args("mlcr_reserve")) == 1, "a launched job needs no claim"


@pytest.mark.parametrize("nth", [1, 3])
def test_what_a_follow_left_is_fetched_to_its_end(
    host: FakeHost, make_client: MakeClient, nth: int
) -> None:
    host.when("mlcr_follow", lambda _: end_task(host, host.job))
    host.answer("mlcr_follow", Reply(0, TRAINS.stdout[:2], b""))
    host.cut("mlcr_bytes", nth=nth, after=True)
    assert_succeeded(make_client("train"), host)


@pytest.mark.parametrize(("function", "nth"), [(RSYNC, 2), ("mlcr_sums", 1)])
@pytest.mark.parametrize("after", [False, True])
def test_a_download_is_retried(
    host: FakeHost, make_client: MakeClient, function: str, nth: int, after: bool
) -> None:
    host.cut(function, nth=nth, after=after)
    work = make_client("train")
    assert_succeeded(work, host)
    assert work.notes() == RECONNECTED
    assert len(host.args("mlcr_follow")) == 1
    assert [path.name for path in work.workspace.glob(".*")] == [], "nothing is left of the first"


FOREVER = {
    "probe": ("mlcr_probe", 1, Status.NOT_STARTED, None),
    "claim": ("mlcr_reserve", 1, Status.NOT_STARTED, None),
    "upload": (RSYNC, 1, Status.NOT_STARTED, None),
    "follow": ("mlcr_follow", 1, Status.UNKNOWN, ATTACH),
    "state": ("mlcr_verdict", 1, Status.UNKNOWN, ATTACH),
    "download": (RSYNC, 2, Status.UNKNOWN, ATTACH),
}


@pytest.mark.parametrize("case", FOREVER)
@pytest.mark.parametrize("refusal", [DOWN, AuthenticationError("gpu01", "key refused")])
def test_a_host_that_cannot_be_reached_again(
    host: FakeHost, make_client: MakeClient, case: str, refusal: UnreachableError
) -> None:
    function, nth, status, hint = FOREVER[case]
    host.cut(function, nth=nth)
    host.when(function, lambda _: host.refuse(always=refusal), nth=nth)
    work = make_client("train")
    outcome = work.do()
    assert isinstance(outcome.error, StateUnknownError)
    assert outcome.error.message == f"gpu01: not reachable any more: {refusal.reason}"
    assert outcome.error.hint == hint
    assert (outcome.status, code(outcome)) == (status, 123)
    assert outcome.status.value == work.record()["status"]
    assert work.notes() == RECONNECTED[:1]
    # A client that was cut off before the launch leaves a dead claim behind, and no running job.
    states = {"running", "ended"} if status is Status.UNKNOWN else {"abandoned"}
    assert {job.state for job in host.jobs.values()} <= states


def test_a_host_that_comes_back_late(host: FakeHost, make_client: MakeClient) -> None:
    host.cut("mlcr_follow")
    host.when("mlcr_follow", lambda _: host.refuse(DOWN, DOWN, DOWN))
    work = make_client("train")
    assert_succeeded(work, host)
    assert work.notes() == RECONNECTED


def test_a_new_connection_that_breaks_at_once(host: FakeHost, make_client: MakeClient) -> None:
    host.cut("mlcr_follow")
    host.cut("mlcr_boot")
    work = make_client("train")
    assert_succeeded(work, host)
    assert len(host.connections) == 3


@pytest.mark.xfail(reason="only the first connection that broke is closed")
def test_every_broken_connection_is_closed(host: FakeHost, make_client: MakeClient) -> None:
    host.cut("mlcr_follow")
    host.cut("mlcr_boot")
    assert_succeeded(make_client("train"), host)
    assert [connection.is_closed for connection in host.connections] == [True, True, True]


def with_gpus(host: FakeHost) -> None:
    host.gpus = ("GPU-a", "GPU-b")
    host.has_image = False


def test_gpus_are_leased_before_the_launch(host: FakeHost, make_client: MakeClient) -> None:
    with_gpus(host)
    work = make_client("train", gpus="2")
    assert_succeeded(work, host)
    job_dir = host.job.job_dir
    assert host.args("mlcr_lease") == [(job_dir, "2", "docker")]
    functions = host.functions()
    assert functions.index("mlcr_reserve") < functions.index("mlcr_lease")
    assert functions.index("mlcr_lease") < functions.index("mlcr_launch")
    assert host.job.gpus == host.gpus
    assert work.notes() == ["GPUs 0, 1 for this job"]
    (launch,) = host.args("mlcr_launch")
    assert any("device=GPU-a,GPU-b" in word for word in launch)


def test_after_a_cut_the_same_gpus_are_leased_again(
    host: FakeHost, make_client: MakeClient
) -> None:
    with_gpus(host)
    host.cut("mlcr_attended")
    work = make_client("train", gpus="1")
    assert_succeeded(work, host)
    job_dir = host.job.job_dir
    assert host.args("mlcr_lease") == [
        (job_dir, "1", "docker"),
        (job_dir, "1", "docker", "GPU-a"),
    ]
    functions = host.functions("mlcr_image", "mlcr_boot")
    begin = functions.index("mlcr_lease") + 1
    assert functions[begin : begin + 6] == [
        *(RSYNC, "mlcr_reserve", "mlcr_state", "mlcr_remove", "mlcr_reserve", "mlcr_lease")
    ], "the job is claimed again before its GPUs are leased"


def test_gpus_that_another_job_got_meanwhile(host: FakeHost, make_client: MakeClient) -> None:
    with_gpus(host)

    def lose(connection: HostConnection) -> None:
        cut(connection)
        host.jobs["/r/jobs/other"] = FakeJob("/r/jobs/other", "{}", None, gpus=("GPU-a",))

    host.when("mlcr_attended", lose)
    outcome = make_client("train", gpus="1").do()
    assert isinstance(outcome.error, BusyError)
    assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, 117)
    assert list(host.jobs) == ["/r/jobs/other"], "the claim was given back"


def test_a_running_job_keeps_its_gpus_without_asking(
    host: FakeHost, make_client: MakeClient
) -> None:
    with_gpus(host)
    host.cut_follow(3)
    assert_succeeded(make_client("train", gpus="1"), host)
    assert len(host.args("mlcr_lease")) == 1


def test_a_task_whose_supervisor_died_gets_another(host: FakeHost, make_client: MakeClient) -> None:
    def kill(_: HostConnection) -> None:
        host.job.supervisor_died = True

    host.when("mlcr_follow", kill)
    work = make_client("train")
    assert_succeeded(work, host)
    assert host.args("mlcr_adopt") == [(host.job.job_dir, "1")]
    assert work.notes() == ["its supervisor had been killed; it was given another"]


def test_a_failure_is_reported_over_a_cut(host: FakeHost, make_client: MakeClient) -> None:
    host.scripts["train"] = attrs.evolve(TRAINS, exit_code=9)
    host.cut("mlcr_verdict", after=True)
    outcome = make_client("train").do()
    assert (outcome.status, code(outcome)) == (Status.FAILED, 9)
