# SPDX-License-Identifier: Apache-2.0
"""A connection that breaks during a job: what is done again, what is not, and what is unknown."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest

from mlcube_remote.errors import (
    AuthenticationError,
    BusyError,
    ConfigureError,
    HostError,
    StateUnknownError,
    TransferError,
    UnreachableError,
)
from mlcube_remote.events.outcome import Status
from mlcube_remote.transport import backoff, reconnecting
from mlcube_remote.transport.base import Reply, Stream
from mlcube_remote.transport.fake import RSYNC
from tests.support.fake_host import FakeHost, cut
from tests.support.fake_host_state import HostConnection, wait_until
from tests.support.fake_jobs import FakeJob
from tests.support.fake_library import end_task
from tests.support.fake_runs import RUN_ID, TRAINS, Client, MakeClient, code

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
    [("mlcr_probe_host", False), ("mlcr_probe_host", True), ("mlcr_claim_job", False)],
)
def test_a_cut_before_the_claim(
    host: FakeHost, make_client: MakeClient, function: str, after: bool
) -> None:
    host.cut(function, after=after)
    work = make_client("train")
    assert_succeeded(work, host)
    assert work.notes() == RECONNECTED
    assert len(host.connections) == 2
    assert len(host.args("mlcr_claim_job")) == 1


def test_a_claim_whose_answer_is_lost_is_made_again(
    host: FakeHost, make_client: MakeClient
) -> None:
    host.cut("mlcr_claim_job", after=True)
    work = make_client("train")
    assert_succeeded(work, host)
    assert host.job.client is host.connections[1]
    assert host.functions("mlcr_print_image_platform")[1:7] == [
        *(
            "mlcr_claim_job",
            "mlcr_print_boot_id",
            "mlcr_claim_job",
            "mlcr_print_job_state",
            "mlcr_remove_job",
        ),
        "mlcr_claim_job",
    ]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("function", [RSYNC, "mlcr_run_while_connected"])
def test_a_cut_between_claim_and_launch(
    host: FakeHost, make_client: MakeClient, function: str, after: bool
) -> None:
    host.has_image = function != "mlcr_run_while_connected"
    host.cut(function, after=after)
    work = make_client("train")
    assert_succeeded(work, host)
    assert work.notes() == RECONNECTED
    assert host.job.client is host.connections[1], "claimed again before the job continues"
    assert len(host.args("mlcr_remove_job")) == 1, "the claim of the first connection was dead"
    assert len(host.args("mlcr_launch_job")) == 1


def test_a_question_for_the_image_that_is_cut_after_the_upload(
    host: FakeHost, make_client: MakeClient
) -> None:
    work = make_client("train")

    def cut_late(connection: HostConnection) -> None:
        wait_until(lambda: "sync" in work.stages())
        cut(connection)

    host.when("mlcr_print_image_platform", cut_late)
    assert_succeeded(work, host)


def test_a_question_for_the_image_that_is_cut_with_the_upload(
    host: FakeHost, make_client: MakeClient
) -> None:
    host.cut("mlcr_print_image_platform")
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

    host.when("mlcr_run_while_connected", take_over)
    outcome = work.do()
    assert isinstance(outcome.error, StateUnknownError)
    assert (
        "another client took over the run while this one had no connection" in outcome.error.message
    )
    assert code(outcome) == 123
    assert len(host.args("mlcr_launch_job")) == 1
    assert host.job.state == "running", "and its claim was not given back"


@pytest.mark.parametrize("after", [False, True])
def test_a_cut_during_the_launch(host: FakeHost, make_client: MakeClient, after: bool) -> None:
    host.cut("mlcr_launch_job", after=after)
    work = make_client("train")
    assert_succeeded(work, host)
    assert len(host.args("mlcr_launch_job")) == (2 if after else 1)
    assert len(host.args("mlcr_claim_job")) == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_launch_whose_answer_never_comes(
    host: FakeHost, make_client: MakeClient, after: bool
) -> None:
    host.when("mlcr_launch_job", lambda _: host.refuse(always=DOWN))
    host.cut("mlcr_launch_job", after=after)
    work = make_client("train")
    outcome = work.do()
    assert isinstance(outcome.error, StateUnknownError)
    assert outcome.error.hint == ATTACH
    assert (outcome.status, code(outcome)) == (Status.UNKNOWN, 123)
    assert [task.status for task in outcome.tasks] == [Status.UNKNOWN], "never 'failed'"
    assert work.record()["status"] == "unknown"
    assert host.job.state == ("running" if after else "abandoned")
    assert host.args("mlcr_release_job") == []


@pytest.mark.parametrize("sizes", [(0,), (5,), (1, 2, 3), (len(TRAINS.stdout),), (0, 100, 0)])
def test_a_log_goes_on_at_the_exact_byte(
    host: FakeHost, make_client: MakeClient, sizes: tuple[int, ...]
) -> None:
    host.cut_follow(*sizes)
    work = make_client("train")
    assert_succeeded(work, host)
    begins = [int(args[2]) for args in host.args("mlcr_follow_task")]
    passed = [min(sum(sizes[:n]), len(TRAINS.stdout)) for n in range(len(sizes) + 1)]
    assert begins == passed
    assert work.notes() == RECONNECTED * len(sizes)
    assert len(host.args("mlcr_claim_job")) == 1, "a launched job needs no claim"


@pytest.mark.parametrize("nth", [1, 3])
def test_what_a_follow_left_is_fetched_to_its_end(
    host: FakeHost, make_client: MakeClient, nth: int
) -> None:
    host.when("mlcr_follow_task", lambda _: end_task(host, host.job))
    host.answer("mlcr_follow_task", Reply(0, TRAINS.stdout[:2], b""))
    host.cut("mlcr_print_bytes", nth=nth, after=True)
    assert_succeeded(make_client("train"), host)


@pytest.mark.parametrize(("function", "nth"), [(RSYNC, 2), ("mlcr_print_checksums", 1)])
@pytest.mark.parametrize("after", [False, True])
def test_a_download_is_retried(
    host: FakeHost, make_client: MakeClient, function: str, nth: int, after: bool
) -> None:
    host.cut(function, nth=nth, after=after)
    work = make_client("train")
    assert_succeeded(work, host)
    assert work.notes() == RECONNECTED
    assert len(host.args("mlcr_follow_task")) == 1
    assert [path.name for path in work.workspace.glob(".*")] == [], "nothing is left of the first"


FOREVER = {
    "probe": ("mlcr_probe_host", 1, Status.NOT_STARTED, None),
    "claim": ("mlcr_claim_job", 1, Status.NOT_STARTED, None),
    "upload": (RSYNC, 1, Status.NOT_STARTED, None),
    "follow": ("mlcr_follow_task", 1, Status.UNKNOWN, ATTACH),
    "state": ("mlcr_report_task", 1, Status.UNKNOWN, ATTACH),
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
    assert outcome.error.message == f"gpu01: can no longer be reached: {refusal.reason}"
    assert outcome.error.hint == hint
    assert (outcome.status, code(outcome)) == (status, 123)
    assert outcome.status.value == work.record()["status"]
    assert work.notes() == RECONNECTED[:1]
    # A client that was cut off before the launch leaves a dead claim behind, and no running job.
    states = {"running", "ended"} if status is Status.UNKNOWN else {"abandoned"}
    assert {job.state for job in host.jobs.values()} <= states


def test_a_host_that_comes_back_late(host: FakeHost, make_client: MakeClient) -> None:
    host.cut("mlcr_follow_task")
    host.when("mlcr_follow_task", lambda _: host.refuse(DOWN, DOWN, DOWN))
    work = make_client("train")
    assert_succeeded(work, host)
    assert work.notes() == RECONNECTED


def test_a_new_connection_that_breaks_at_once(host: FakeHost, make_client: MakeClient) -> None:
    host.cut("mlcr_follow_task")
    host.cut("mlcr_print_boot_id")
    work = make_client("train")
    assert_succeeded(work, host)
    assert len(host.connections) == 3


def test_every_broken_connection_is_closed(host: FakeHost, make_client: MakeClient) -> None:
    host.cut("mlcr_follow_task")
    host.cut("mlcr_print_boot_id")
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
    assert host.args("mlcr_lease_gpus") == [(job_dir, "2", "docker")]
    functions = host.functions()
    assert functions.index("mlcr_claim_job") < functions.index("mlcr_lease_gpus")
    assert functions.index("mlcr_lease_gpus") < functions.index("mlcr_launch_job")
    assert host.job.gpus == host.gpus
    assert work.notes() == ["GPUs 0, 1 for this job"]
    (launch,) = host.args("mlcr_launch_job")
    assert any("device=GPU-a,GPU-b" in word for word in launch)


def test_after_a_cut_the_same_gpus_are_leased_again(
    host: FakeHost, make_client: MakeClient
) -> None:
    with_gpus(host)
    host.cut("mlcr_run_while_connected")
    work = make_client("train", gpus="1")
    assert_succeeded(work, host)
    job_dir = host.job.job_dir
    assert host.args("mlcr_lease_gpus") == [
        (job_dir, "1", "docker"),
        (job_dir, "1", "docker", "GPU-a"),
    ]
    functions = host.functions("mlcr_print_image_platform", "mlcr_print_boot_id")
    begin = functions.index("mlcr_lease_gpus") + 1
    assert functions[begin : begin + 6] == [
        *(
            RSYNC,
            "mlcr_claim_job",
            "mlcr_print_job_state",
            "mlcr_remove_job",
            "mlcr_claim_job",
            "mlcr_lease_gpus",
        )
    ], "the job is claimed again before its GPUs are leased"


def test_gpus_that_another_job_got_meanwhile(host: FakeHost, make_client: MakeClient) -> None:
    with_gpus(host)

    def lose(connection: HostConnection) -> None:
        cut(connection)
        host.jobs["/r/jobs/other"] = FakeJob("/r/jobs/other", "{}", None, gpus=("GPU-a",))

    host.when("mlcr_run_while_connected", lose)
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
    assert len(host.args("mlcr_lease_gpus")) == 1


def test_a_task_whose_supervisor_died_gets_another(host: FakeHost, make_client: MakeClient) -> None:
    def kill(_: HostConnection) -> None:
        host.job.supervisor_died = True

    host.when("mlcr_follow_task", kill)
    work = make_client("train")
    assert_succeeded(work, host)
    assert host.args("mlcr_adopt_task") == [(host.job.job_dir, "1")]
    assert work.notes() == ["its supervisor had been killed; a new one was started"]


def test_a_failure_is_reported_over_a_cut(host: FakeHost, make_client: MakeClient) -> None:
    host.scripts["train"] = attrs.evolve(TRAINS, exit_code=9)
    host.cut("mlcr_report_task", after=True)
    outcome = make_client("train").do()
    assert (outcome.status, code(outcome)) == (Status.FAILED, 9)


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (RSYNC, TransferError, "sync incomplete: the connection broke 50 times"),
        (
            "mlcr_run_while_connected",
            ConfigureError,
            "the image example/mnist is not complete: the connection broke 50 times",
        ),
    ],
)
def test_a_host_that_cuts_each_upload_or_build_after_a_minute(
    host: FakeHost,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    kind: type[HostError],
    words: str,
) -> None:
    now = 0.0

    def wait_and_cut(connection: HostConnection) -> None:
        nonlocal now
        now += 70
        cut(connection)

    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(reconnecting, "time", clock)
    monkeypatch.setattr(backoff, "time", clock)
    monkeypatch.setattr(reconnecting, "with_jitter", lambda _: 0.0)
    monkeypatch.setattr(backoff, "with_jitter", lambda _: 0.0)
    host.has_image = False
    for nth in range(1, 60):
        host.when(function, wait_and_cut, nth=nth)
    work = make_client("train")

    outcome = work.do()

    assert type(outcome.error) is kind
    assert words in outcome.error.message
    assert outcome.error.hint
    assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, kind.exit_code)
    assert len(host.connections) == 50
