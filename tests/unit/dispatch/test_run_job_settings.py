# SPDX-License-Identifier: Apache-2.0
"""What a host says of itself, secrets, GPUs, other platforms, this machine, and jobs of a sweep."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import attrs
import pytest

from mlcube_remote.errors import BusyError, HostUnfitError, PlanError
from mlcube_remote.events.model import Level
from mlcube_remote.events.outcome import JobOutcome, Status
from mlcube_remote.inventory.model import ConnectionKind, Host
from mlcube_remote.runs.expected_sources import ExpectedSources, Source
from mlcube_remote.runs.store import Store
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import RSYNC
from tests.support.fake_host import FakeHost, cut
from tests.support.fake_jobs import FakeJob, Script
from tests.support.fake_runs import (
    CUBE,
    Client,
    MakeClient,
    client,
    code,
    everything_kept,
    jobs_of,
    write_cube,
)

SIF = CUBE.replace("docker: {image: example/mnist}", "singularity: {image: mnist.sif}")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"now": str(int(time.time()) + 3600)}, "s ahead of this machine's"),
        ({"now": str(int(time.time()) - 3600)}, "s behind this machine's"),
        ({"logout": "all"}, "logind on the host ends your processes when you log out"),
    ],
)
def test_what_may_surprise_is_a_warning(
    host: FakeHost, make_client: MakeClient, facts: dict[str, str], expected: str
) -> None:
    host.facts |= facts
    work = make_client("train")
    assert work.do().succeeded
    (warning,) = work.notes(Level.WARNING)
    assert expected in warning


def test_a_warning_about_the_cube_is_given_once_in_a_run(
    host: FakeHost, make_client: MakeClient
) -> None:
    cube = f"extra: 1\n{CUBE}"
    first = make_client("train", cube=cube)
    # The jobs of a run share its context, and with it the list of events.
    second = make_client("train", cube=cube, run_id="20261128-100000-abcd")
    second = attrs.evolve(second, run=first.run)
    assert first.do().succeeded
    assert second.do().succeeded
    (warning,) = first.notes(Level.WARNING)
    assert warning.endswith("extra: unknown key: it has no effect")
    third = make_client("train", cube=cube, run_id="20261128-100000-abce")
    third = attrs.evolve(third, run=attrs.evolve(third.run, shown=frozenset({warning})))
    assert third.do().succeeded
    assert third.notes(Level.WARNING) == [], "it was shown before any host was asked"


def test_secrets_are_given_to_the_launch_alone(host: FakeHost, make_client: MakeClient) -> None:
    secret = "s3cret-t0ken"
    host.cut("mlcr_launch_job", after=True)
    host.cut_follow(3)
    work = make_client("train", env={"TOKEN": Secret(secret)})
    assert work.do().succeeded
    assert secret in host.job.environment.values()
    assert "TOKEN" in host.job.environment
    assert secret not in everything_kept(work)
    assert not any(secret in word for call in host.calls for word in call.args)
    assert secret not in host.job.request
    with_secret = {
        call.function
        for connection in host.connections
        for call in connection.calls
        if secret in call.env.values()
    }
    assert with_secret == {"mlcr_launch_job"}


def test_a_secret_is_not_in_the_message_of_a_failure(
    host: FakeHost, make_client: MakeClient
) -> None:
    host.answer("mlcr_launch_job", Reply(1, b"", b"No space left\n"))
    work = make_client("train", env={"TOKEN": Secret("s3cret-t0ken")})
    assert not work.do().succeeded
    assert "s3cret-t0ken" not in everything_kept(work)


def test_an_image_alone_is_prepared(host: FakeHost, make_client: MakeClient) -> None:
    work = make_client("train", configure_only=True)
    outcome = work.do()
    assert (outcome.status, outcome.tasks, code(outcome)) == (Status.SUCCEEDED, (), 0)
    assert host.functions("mlcr_print_image_platform") == [
        "mlcr_probe_host",
        RSYNC,
        "mlcr_run_while_connected",
    ]
    assert host.jobs == {}, "an image needs no claim"
    assert work.stages() == ["connect", "sync", "configure"]


def test_gpus_that_others_have_are_waited_for(host: FakeHost, make_client: MakeClient) -> None:
    host.gpus = ("GPU-a",)
    host.jobs["/r/jobs/x"] = FakeJob("/r/jobs/x", "{}", None, gpus=host.gpus)
    refused = make_client("train", gpus="1").do()
    assert isinstance(refused.error, BusyError)
    assert (refused.status, code(refused)) == (Status.NOT_STARTED, 117)
    assert list(host.jobs) == ["/r/jobs/x"]
    work = make_client("train", gpus="1", run={"wait": True})
    host.when("mlcr_lease_gpus", lambda _: host.jobs.pop("/r/jobs/x"), nth=3)
    assert work.do().succeeded
    assert work.notes() == [
        "waiting: 0 of 1 GPUs are free, and the job asks for 1",
        "GPU 0 for this job",
    ]


def test_a_host_that_cannot_tell_its_gpus_is_not_asked_twice(
    host: FakeHost, make_client: MakeClient
) -> None:
    work = make_client("train", gpus="1")
    host.cut("mlcr_follow_task")
    assert work.do().succeeded
    assert len(host.args("mlcr_lease_gpus")) == 1
    assert any("--gpus=1" in word for word in host.args("mlcr_launch_job")[0])


def test_a_sif_file(host: FakeHost, make_client: MakeClient) -> None:
    host.facts["program"] = "singularity"
    work = make_client("train", cube=SIF)
    assert work.do().succeeded
    functions = host.functions()
    assert functions.index(RSYNC) < functions.index("mlcr_check_sif"), "its recipe is sent first"
    assert "mlcr_print_image_platform" not in functions


def test_a_host_without_singularity(host: FakeHost, make_client: MakeClient) -> None:
    outcome = make_client("train", cube=SIF).do()
    assert isinstance(outcome.error, HostUnfitError)
    assert "neither singularity nor apptainer was found" in outcome.error.message
    assert host.functions() == ["mlcr_probe_host"]


def test_a_sif_file_whose_recipe_changed_is_built_again(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    host.facts["program"] = "singularity"
    host.answer("mlcr_check_sif", Reply(0, b"stale\n", b""))
    write_cube(tmp_path, text=SIF)
    (tmp_path / "cube/Singularity.recipe").write_text("Bootstrap: docker\nFrom: x\n")
    work = make_client("train", cube=SIF)
    assert work.do().succeeded
    ((function, *_),) = host.args("mlcr_run_while_connected")
    assert function == "mlcr_build_checked_sif"
    assert "changed: building it again" in work.notes()[0]


def test_gpus_that_singularity_would_run_without(host: FakeHost, make_client: MakeClient) -> None:
    host.facts["program"] = "singularity"
    outcome = make_client("train", cube=SIF, gpus="all").do()
    assert isinstance(outcome.error, HostUnfitError)
    assert "singularity cannot apply --gpus=all: the host has none" in outcome.error.message
    assert (host.jobs, outcome.status) == ({}, Status.NOT_STARTED)
    setting = SIF.replace("{image: mnist.sif}", "{image: mnist.sif, run_args: --nv}")
    work = make_client("train", cube=setting)
    assert work.do().succeeded
    assert any("the task runs without" in note for note in work.notes(Level.WARNING))


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        (["data/big"], "not sent: data/big: a link that leads out of the cube or to nothing"),
        (["a", "b"], "not sent: a, b: 2 links that lead out of the cube or to nothing"),
    ],
)
def test_a_link_that_leaves_the_cube_is_named(
    host: FakeHost, make_client: MakeClient, links: list[str], expected: str
) -> None:
    said = "".join(f'ignoring unsafe symlink "{link}" -> "/mnt/big"\n' for link in links)
    host.answer(RSYNC, Reply(0, said.encode(), b""))
    work = make_client("train")
    assert work.do().succeeded
    assert work.notes() == [expected]


def test_many_links_that_leave_the_cube_are_one_warning(
    host: FakeHost, make_client: MakeClient
) -> None:
    said = b'ignoring unsafe symlink "data/%d" -> "/mnt/big"\n'
    host.answer(RSYNC, Reply(0, b"".join(said % number for number in range(2000)), b""))
    work = make_client("train")
    assert work.do().succeeded
    (note,) = work.notes()
    assert note.startswith("not sent: data/0, data/1, data/2, …: 2000 links")


@pytest.fixture
def here(tmp_path: Path) -> Host:
    root = str(tmp_path / "root")
    return Host(name="local", connection=ConnectionKind.LOCAL, remote_root=root)


@pytest.mark.parametrize("makes_all", [True, False])
def test_a_job_on_this_machine(
    host: FakeHost, make_client: MakeClient, here: Host, makes_all: bool
) -> None:
    host.facts["rsync"] = ""  # nothing is sent
    work = make_client("train", host=here)

    def run_task(_: object) -> None:
        (work.workspace / "train.log").write_text("x")
        if makes_all:
            (work.workspace / "model").mkdir()

    host.when("mlcr_follow_task", run_task)
    outcome = work.do()
    assert outcome.succeeded == makes_all
    assert host.args(RSYNC) == []
    assert work.details()["pull"] == "in place"
    assert [output.name for output in outcome.outputs] == (
        ["model", "log"] if makes_all else ["log"]
    )


def test_two_hosts_with_one_root_take_turns(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    first = make_client("train")
    second_job = jobs_of(tmp_path / "cube", "train", host=Host(name="gpu02", remote_root="/r"))[0]
    second = Client(job=second_job, run=first.run, store=first.store, events=first.events)
    outcomes: list[JobOutcome] = []
    host.facts["root_id"] = "shared"
    other = threading.Thread(target=lambda: outcomes.append(second.do()))
    host.when("mlcr_follow_task", lambda _: other.start())
    assert first.do().succeeded
    other.join(5.0)
    assert [outcome.status for outcome in outcomes] == [Status.SUCCEEDED]
    assert any(
        note.startswith("shares its remote_root with gpu01") for note in first.notes(Level.WARNING)
    )


@pytest.fixture
def sweep(host: FakeHost, tmp_path: Path) -> list[Client]:
    """Return the clients of two jobs of a sweep, which share their run."""
    root = write_cube(tmp_path)
    jobs = jobs_of(root, "train", sweep="config.lr=1,2")
    store = Store(tmp_path / "runs")
    first = client(jobs[0], host, store)
    return [first, *(attrs.evolve(first, job=job) for job in jobs[1:])]


def test_jobs_of_a_sweep_have_inputs_and_outputs_of_their_own(
    host: FakeHost, sweep: list[Client]
) -> None:
    for number, work in enumerate(sweep, 1):
        outcome = work.do()
        assert outcome.succeeded
        assert (outcome.job, dict(outcome.parameters)) == (
            *(work.job.own_name, {"config.lr": str(number)}),
        )
        room = f"/r/trials/{work.job.id}"
        assert host.files[f"{room}/inputs/0/conf.yaml"] == f"lr: {number}\n".encode()
        assert host.files[f"/r/jobs/{work.job.id}/pulled"] == b""
        assert {output.path.parent.name for output in outcome.outputs} == {work.job.own_name}
        assert work.record()["ticket"]["parameters"] == {"config.lr": str(number)}
    uploads = [args for args in host.args(RSYNC) if not args[-2].startswith("host:")]
    assert len(uploads) == 1, "the second job finds the mirror up to date"


def test_a_cut_while_the_inputs_of_a_job_are_written(host: FakeHost, sweep: list[Client]) -> None:
    host.when("mlcr_write_input", cut, after=True)
    assert sweep[0].do().succeeded
    assert len(host.args("mlcr_write_input")) == 2


def test_inputs_that_cannot_be_written(host: FakeHost, sweep: list[Client]) -> None:
    host.answer("mlcr_write_input", Reply(1, b"", b"No space left\n"))
    outcome = sweep[0].do()
    assert "inputs/0/conf.yaml could not be written: No space left" in str(outcome.error)
    assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, 1)
    assert host.jobs == {}


def test_a_job_of_a_sweep_does_not_wait_for_a_workspace(
    host: FakeHost, sweep: list[Client]
) -> None:
    waiting = attrs.evolve(sweep[0], run=attrs.evolve(sweep[0].run, wait=True))
    host.answer("mlcr_claim_job", Reply(16, b"holder=x\0state=running\0", b""))
    outcome = waiting.do()
    assert isinstance(outcome.error, BusyError), "it may run on another host"


def test_an_output_of_a_job_of_a_sweep_that_is_missing(host: FakeHost, sweep: list[Client]) -> None:
    host.scripts["train"] = Script(makes={"train.log": b"x"})
    outcome = sweep[0].do()
    assert (outcome.status, code(outcome)) == (Status.FAILED, 1)
    assert f"/r/jobs/{sweep[0].job.id}/pulled" in host.files


def test_local_data_is_sent_to_a_place_of_its_own(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    (tmp_path / "other.yaml").write_text("lr: 3\n")
    work = make_client("train", values={"config": f"local:{tmp_path}/other.yaml"})
    assert work.do().succeeded
    prepared = host.args("mlcr_prepare_paths")
    assert len(prepared) == 1
    anchor, area, path = prepared[0][1:]
    assert anchor == "/r"
    assert area.startswith("data/other.yaml-")
    assert path == f"/r/{area}"
    targets = [args[-1] for args in host.args(RSYNC)][:2]
    assert targets[1] == f"host:{path}/"


def test_a_place_for_local_data_that_cannot_be_made(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    (tmp_path / "other.yaml").write_text("lr: 3\n")
    host.answer("mlcr_prepare_paths", Reply(1, b"", b"mkdir: Permission denied\n"))
    outcome = make_client("train", values={"config": f"local:{tmp_path}/other.yaml"}).do()
    assert not isinstance(outcome.error, PlanError)
    assert "the workspace could not be prepared: mkdir: Permission" in str(outcome.error)
    assert (outcome.status, host.jobs) == (Status.NOT_STARTED, {})


def test_directories_that_cannot_be_made_stop_the_launch(
    host: FakeHost, make_client: MakeClient
) -> None:
    host.answer("mlcr_launch_job", Reply(18, b"", b"mkdir: Permission denied\n"))
    outcome = make_client("train").do()
    assert "the workspace could not be prepared: mkdir: Permission" in str(outcome.error)
    assert (outcome.status, code(outcome), host.jobs) == (Status.NOT_STARTED, 1, {})


def test_a_connection_is_kept_for_the_next_job_of_a_run(
    host: FakeHost, make_client: MakeClient
) -> None:
    work = make_client("train", run={"wait": True, "keeps": True})
    assert work.do().succeeded
    assert not host.connections[0].is_closed, "the next job of the run takes the connection"
    work.run.connections.close()
    assert host.connections[0].is_closed


def test_a_job_that_must_have_the_recorded_image_is_not_launched_with_another(
    host: FakeHost, make_client: MakeClient, tmp_path: Path
) -> None:
    work = make_client("train")
    assert work.do().status is Status.SUCCEEDED
    before = work.record()["provenance"]
    assert before["image"]["id"] == host.image_id
    expected = ExpectedSources(recorded={work.job.name: before})
    repeats = work.another(host, tmp_path, expected=expected)
    host.image_id = "2" * 64
    launches = host.functions().count("mlcr_launch_job")
    repeats.job = attrs.evolve(repeats.job, attempt=2)
    outcome = repeats.do()
    assert isinstance(outcome.error, PlanError)
    assert outcome.status is Status.NOT_STARTED
    assert "image: example/mnist: it was 111111111111, the host has 2222" in str(outcome.error)
    assert host.functions().count("mlcr_launch_job") == launches
    allowing = attrs.evolve(expected, allowed=frozenset({Source.IMAGE}))
    allowed = work.another(host, tmp_path / "allowed", expected=allowing)
    allowed.job = repeats.job
    assert allowed.do().status is Status.SUCCEEDED
    assert any("not as recorded: image" in note for note in allowed.notes(Level.WARNING))
