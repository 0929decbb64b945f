# SPDX-License-Identifier: Apache-2.0
"""Several clients, one job; several runs, one workspace: who starts it, and who waits."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from mlcube_remote.errors import BusyError, NotStartedError, PlanError, StateUnknownError
from mlcube_remote.events.outcome import Status
from mlcube_remote.plan.placed_job import place_job
from mlcube_remote.transport.base import Reply
from tests.support.fake_host import FakeHost, cut
from tests.support.fake_host_state import HostConnection
from tests.support.fake_jobs import FakeJob, records
from tests.support.fake_library import end_task
from tests.support.fake_runs import OTHER_RUN_ID, RUN_ID, TRAINS, Client, MakeClient, code

FOLLOWING = f"run {RUN_ID} was started before: following it"


def claim_elsewhere(host: FakeHost, work: Client, folder: Path) -> FakeJob:
    """Let another client claim the job; it stays connected and has not launched it."""
    other = work.another(host, folder, detach=True)
    assert other.do().status is Status.RUNNING
    job = host.job
    job.tasks.clear()
    job.client = None
    host.calls.clear()
    return job


def test_a_job_that_another_client_launched_is_followed(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    work = make_client("train", "evaluate")
    assert work.another(host, tmp_path, detach=True).do().status is Status.RUNNING
    host.calls.clear()
    outcome = work.do()
    assert (outcome.status, code(outcome)) == (Status.SUCCEEDED, 0)
    assert work.output() == TRAINS.stdout
    assert (work.workspace / "model/weights").exists()
    assert host.functions()[:5] == [
        *(
            "mlcr_probe_host",
            "mlcr_claim_job",
            "mlcr_print_job_state",
            "mlcr_print_line",
            "mlcr_print_job_state",
        )
    ]
    assert {"mlcr_launch_job", "mlcr_print_image_platform"}.isdisjoint(host.functions())
    assert work.notes() == [FOLLOWING]
    assert work.stages() == ["connect", "run train", "run evaluate", "pull"]
    assert work.record()["ticket"]["run_id"] == RUN_ID


def test_a_job_that_another_client_saw_end_is_pulled(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    work = make_client("train")
    assert work.another(host, tmp_path).do().succeeded
    outcome = work.do()
    assert outcome.succeeded
    assert work.output() == TRAINS.stdout, "from its first byte"
    assert len(host.args("mlcr_launch_job")) == 1


def test_a_job_of_another_client_is_left_when_detached(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    work = make_client("train", run={"detach": True})
    work.another(host, tmp_path, detach=True).do()
    outcome = work.do()
    assert (outcome.status, code(outcome)) == (Status.RUNNING, 0)
    assert work.record()["status"] == "running"


def test_a_run_id_that_stands_for_other_tasks(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    make_client("train").another(host, tmp_path, detach=True).do()
    work = make_client("prepare")
    outcome = work.do()
    assert isinstance(outcome.error, PlanError)
    assert outcome.error.message == f"gpu01: run {RUN_ID} has other tasks on this host: train"
    assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, 2)
    assert host.job.state == "running", "the other client's job is left alone"


@pytest.mark.parametrize("request_text", ["", "{", "[]", '{"tasks": [1]}', '{"tasks": [{}]}'])
def test_a_request_that_cannot_be_read(
    host: FakeHost, make_client: MakeClient, tmp_path: Path, request_text: str
) -> None:
    work = make_client("train")
    work.another(host, tmp_path, detach=True).do()
    host.job.request = request_text
    outcome = work.do()
    assert isinstance(outcome.error, PlanError)
    assert outcome.error.message.endswith("has other tasks on this host: not readable")


def test_a_job_that_another_client_prepares_is_waited_for(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    work = make_client("train")
    job = claim_elsewhere(host, work, tmp_path)
    host.when("mlcr_print_job_state", lambda _: job.launch(["train"], host.scripts), nth=4)
    outcome = work.do()
    assert outcome.succeeded
    assert host.functions("mlcr_print_line")[2:6] == ["mlcr_print_job_state"] * 4
    assert host.args("mlcr_launch_job") == []
    assert work.notes() == [FOLLOWING]


def test_a_cut_while_another_client_prepares(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    work = make_client("train")
    job = claim_elsewhere(host, work, tmp_path)
    host.when("mlcr_print_job_state", cut, nth=3)
    host.when("mlcr_print_job_state", lambda _: job.launch(["train"], host.scripts), nth=5)
    assert work.do().succeeded
    assert len(host.args("mlcr_claim_job")) == 1, "a claim of another is not claimed again"


@pytest.mark.parametrize("how", ["abandoned", "absent"])
def test_a_client_that_gives_up_before_it_launches(
    host: FakeHost, make_client: MakeClient, tmp_path: Path, how: str
) -> None:
    work = make_client("train")
    job = claim_elsewhere(host, work, tmp_path)

    def give_up(_: HostConnection) -> None:
        if how == "absent":
            host.jobs.clear()
        else:
            job.client = host.connections[0]  # it is closed

    host.when("mlcr_print_job_state", give_up, nth=3)
    outcome = work.do()
    assert isinstance(outcome.error, StateUnknownError)
    assert (
        outcome.error.reason == "the client that was about to launch the job exited before it did"
    )
    assert outcome.error.hint == f"run it again with --run-id={RUN_ID}"
    assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, 123)
    assert host.args("mlcr_release_job") == []


def test_a_stop_while_another_client_prepares(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    work = make_client("train")
    job = claim_elsewhere(host, work, tmp_path)
    host.when("mlcr_print_job_state", lambda _: work.run.interrupts.stop(), nth=3)
    outcome = work.do()
    assert (outcome.status, code(outcome)) == (Status.CANCELLED, 130)
    assert job.state == "preparing"


def test_a_claim_of_a_dead_client_is_taken_over(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    work = make_client("train")
    job = claim_elsewhere(host, work, tmp_path)
    job.client = host.connections[0]
    assert job.state == "abandoned"
    assert work.do().succeeded
    assert [args[1] for args in host.args("mlcr_remove_job")] == [work.job.id]
    assert len(host.args("mlcr_launch_job")) == 1
    assert work.notes() == []


def hold_workspace(host: FakeHost, make_client: MakeClient) -> FakeJob:
    """Let another run have its job in the same workspace."""
    other = make_client("prepare", run={"detach": True}, run_id=OTHER_RUN_ID)
    assert other.do().status is Status.RUNNING
    holder = host.job
    host.calls.clear()
    return holder


def test_a_workspace_that_another_run_holds(host: FakeHost, make_client: MakeClient) -> None:
    holder = hold_workspace(host, make_client)
    work = make_client("train")
    outcome = work.do()
    assert isinstance(outcome.error, BusyError)
    client = json.loads(holder.request)["client"]
    assert outcome.error.reason == (
        f"the workspace is held by run {OTHER_RUN_ID} (mnist, of {client}), which is running; "
        f"this run is {RUN_ID}"
    )
    assert f"mlcube-remote stop {OTHER_RUN_ID}" in str(outcome.error.hint)
    assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, 117)
    assert host.functions() == ["mlcr_probe_host", "mlcr_claim_job"]
    assert list(host.jobs.values()) == [holder]


def test_a_locked_workspace_is_waited_for(host: FakeHost, make_client: MakeClient) -> None:
    holder = hold_workspace(host, make_client)
    work = make_client("train", run={"wait": True})
    host.when("mlcr_claim_job", lambda _: end_task(host, holder), nth=4)
    assert work.do().succeeded
    assert len(host.args("mlcr_claim_job")) == 4
    (note,) = work.notes()
    assert note.startswith(f"waiting: the workspace is held by run {OTHER_RUN_ID}"), "said once"


def test_a_client_that_waits_for_a_workspace_can_be_interrupted(
    host: FakeHost, make_client: MakeClient
) -> None:
    hold_workspace(host, make_client)
    work = make_client("train", run={"wait": True})
    host.when("mlcr_claim_job", lambda _: work.run.interrupts.stop(), nth=3)
    outcome = work.do()
    assert (outcome.status, code(outcome)) == (Status.CANCELLED, 130)
    assert place_job(work.job).paths.job_dir not in host.jobs


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"holder": "x", "state": "running"}, "by the job x, which is running; "),
        ({"request": "{"}, "by the job ?, which is running; "),
        ({"holder": "x", "state": "elsewhere", "node": "n2"}, "elsewhere on n2, which shares"),
    ],
)
def test_a_holder_that_says_little_of_itself(
    host: FakeHost, make_client: MakeClient, facts: dict[str, str], expected: str
) -> None:
    host.answer("mlcr_claim_job", Reply(16, records(facts), b""))
    outcome = make_client("train").do()
    assert isinstance(outcome.error, BusyError)
    assert expected in outcome.error.reason


def test_a_client_that_removes_mirrors_is_waited_for(
    host: FakeHost, make_client: MakeClient
) -> None:
    host.answer("mlcr_claim_job", Reply(16, records({"state": "cleaning"}), b""))
    work = make_client("train")
    assert work.do().succeeded
    assert len(host.args("mlcr_claim_job")) == 2


def test_a_claim_says_what_the_job_uses(host: FakeHost, make_client: MakeClient) -> None:
    work = make_client("train")
    assert work.do().succeeded
    uses = shlex.split(host.args("mlcr_claim_job")[0][5])
    _, cube, name, image, about = uses
    assert cube == f"cubes/{Path(place_job(work.job).paths.cube).name}"
    assert name == "mnist"
    assert image.startswith("images/")
    assert about.splitlines() == ["example/mnist", "docker"]


def test_a_workspace_whose_run_has_ended_is_free(host: FakeHost, make_client: MakeClient) -> None:
    end_task(host, hold_workspace(host, make_client))
    assert make_client("train").do().succeeded


def test_a_claim_is_given_back_if_an_input_is_nowhere(
    host: FakeHost, make_client: MakeClient
) -> None:
    outcome = make_client("evaluate").do()
    assert isinstance(outcome.error, PlanError)
    assert outcome.error.message == (
        "gpu01: evaluate.model: input 'model/' is neither on this machine nor on the host"
    )
    assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, 2)
    assert host.jobs == {}


def test_an_input_that_an_earlier_run_left_on_the_host(
    host: FakeHost, make_client: MakeClient
) -> None:
    work = make_client("evaluate")
    paths = place_job(work.job).paths
    host.files[f"{paths.workspace}/model/weights"] = b"old"
    assert work.do().succeeded


@pytest.mark.parametrize("place", ["remote:/data/conf.yaml", "/data/conf.yaml"])
def test_data_of_the_host_must_be_there(
    host: FakeHost, make_client: MakeClient, place: str
) -> None:
    outcome = make_client("train", values={"config": place}).do()
    assert isinstance(outcome.error, PlanError)
    assert outcome.error.message == (
        "gpu01: train.config: input /data/conf.yaml does not exist on the host"
    )
    assert host.functions()[-1] == "mlcr_release_job"
    host.files["/data/conf.yaml"] = b"lr: 2\n"
    assert make_client("train", values={"config": place}).do().succeeded


def test_a_claim_that_is_gone_at_the_launch(host: FakeHost, make_client: MakeClient) -> None:
    work = make_client("train")
    host.when("mlcr_launch_job", lambda _: host.jobs.clear())
    outcome = work.do()
    assert not isinstance(outcome.error, NotStartedError)
    assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, 122)
