# SPDX-License-Identifier: Apache-2.0
"""One job on one host: the calls in their order, the events, the outcome and the record."""

from __future__ import annotations

import attrs
import pytest

from mlcube_remote.errors import (
    AuthenticationError,
    ConfigureError,
    HostError,
    HostUnfitError,
    UnreachableError,
)
from mlcube_remote.events.model import (
    Event,
    Level,
    Note,
    StageProgress,
    StageStarted,
)
from mlcube_remote.events.outcome import Status
from mlcube_remote.transport.base import Reply, Stream
from tests.support.fake_host import FakeHost
from tests.support.fake_jobs import Script
from tests.support.fake_runs import TRAINS, MakeClient, code

ALL = ("prepare", "train", "evaluate")


def test_a_task_that_succeeds(host: FakeHost, make_client: MakeClient) -> None:
    work = make_client("train")
    outcome = work.do()
    assert host.functions("mlcr_print_image_platform") == [
        *("mlcr_probe_host", "mlcr_claim_job", "rsync", "mlcr_launch_job"),
        *("mlcr_follow_task", "mlcr_report_task", "rsync", "mlcr_print_checksums"),
    ]
    before_launch = host.functions()[: host.functions().index("mlcr_launch_job")]
    assert before_launch.count("mlcr_print_image_platform") == 1
    assert work.stages() == ["connect", "sync", "configure", "run train", "pull"]
    assert work.details() == {
        "connect": "",
        "sync": "1 file, 10 B",
        "configure": "image present",
        "run train": "exit code 0",
        "pull": "2 files, 8 B",
    }
    assert (work.output(), work.output(Stream.STDERR)) == (TRAINS.stdout, TRAINS.stderr)
    (task,) = outcome.tasks
    assert (task.task, task.status, task.exit_code, task.seconds) == (
        *("train", Status.SUCCEEDED, 0),
        2.0,
    )
    assert outcome.status is Status.SUCCEEDED
    assert (outcome.error, code(outcome)) == (None, 0)
    assert [(each.name, each.is_partial) for each in outcome.outputs] == [
        ("model", False),
        ("log", False),
    ]
    assert (work.workspace / "model/weights").read_bytes() == b"123"
    assert (work.workspace / "train.log").read_bytes() == b"done\n"
    assert sorted(path.name for path in work.workspace.iterdir()) == [
        *("conf.yaml", "model", "train.log")
    ]
    assert host.connections[0].is_closed
    assert work.notes() == []


def _kinds(events: list[Event]) -> list[str]:
    uninteresting = (Note, StageProgress)
    return [
        f"{type(event).__name__} {getattr(getattr(event, 'stage', None), 'value', '')}".strip()
        for event in events
        if not isinstance(event, uninteresting)
    ]


def test_events_are_reported_in_their_order(make_client: MakeClient) -> None:
    work = make_client("train")
    work.do()
    assert _kinds(work.events) == [
        *("StageStarted connect", "StageFinished connect"),
        *("StageStarted sync", "StageFinished sync"),
        *("StageStarted configure", "StageFinished configure"),
        *("StageStarted run", "Output run", "Output run", "StageFinished run"),
        *("StageStarted pull", "StageFinished pull"),
    ]
    assert {event.host for event in work.events} == {"gpu01"}
    times = [event.at for event in work.events]
    assert times == sorted(times)


def test_the_record_says_what_became_of_the_job(make_client: MakeClient, host: FakeHost) -> None:
    work = make_client("train")
    seen: list[object] = []
    host.when("mlcr_launch_job", lambda _: seen.append(work.record()["status"]))
    outcome = work.do()
    assert seen == ["planned"], "written before the launch, so that the job can be found again"
    record = work.record()
    assert (record["status"], record["exit_code"], record["error"]) == ("succeeded", 0, None)
    assert record["ticket"]["tasks"][0]["task"] == "train"
    assert record["seconds"].keys() == {"connect", "sync", "configure", "run", "pull"}
    assert [output["name"] for output in record["outputs"]] == ["model", "log"]
    assert outcome.seconds.keys() == record["seconds"].keys()


def test_a_client_without_a_store_records_nothing(make_client: MakeClient) -> None:
    work = make_client("train", run={"store": None})
    assert work.do().succeeded
    assert not work.store.root.exists()


@pytest.mark.parametrize("exit_code", [1, 3, 255])
def test_a_task_that_fails(host: FakeHost, make_client: MakeClient, exit_code: int) -> None:
    host.scripts["train"] = attrs.evolve(TRAINS, exit_code=exit_code)
    work = make_client("train")
    outcome = work.do()
    assert (outcome.status, outcome.error, code(outcome)) == (Status.FAILED, None, exit_code)
    assert [(each.task, each.exit_code) for each in outcome.tasks] == [("train", exit_code)]
    assert [output.is_partial for output in outcome.outputs] == [True, True], "pulled all the same"
    assert work.record()["status"] == "failed"
    assert work.details()["run train"] == f"exit code {exit_code}"


def test_several_tasks(host: FakeHost, make_client: MakeClient) -> None:
    work = make_client(*ALL)
    outcome = work.do()
    assert outcome.succeeded
    assert [task.task for task in outcome.tasks] == list(ALL)
    assert [args[1] for args in host.args("mlcr_follow_task")] == ["1", "2", "3"]
    assert [output.name for output in outcome.outputs] == ["data", "model", "log", "report"]
    assert work.stages()[3:] == ["run prepare", "run train", "run evaluate", "pull"]
    assert outcome.outputs[-1].content is not None
    assert outcome.outputs[-1].content.metrics == {"accuracy": 0.5}


def test_the_second_of_three_tasks_fails(host: FakeHost, make_client: MakeClient) -> None:
    host.scripts["train"] = Script(exit_code=7, makes={"train.log": b"oops"})
    work = make_client(*ALL)
    outcome = work.do()
    assert [(task.status, task.exit_code) for task in outcome.tasks] == [
        (Status.SUCCEEDED, 0),
        (Status.FAILED, 7),
        (Status.NOT_STARTED, None),
    ]
    assert (outcome.status, code(outcome)) == (Status.FAILED, 7)
    assert [(each.name, each.is_partial) for each in outcome.outputs] == [
        ("data", False),
        ("log", True),
    ]
    assert "run evaluate" not in work.stages()


def test_a_declared_output_that_is_missing(host: FakeHost, make_client: MakeClient) -> None:
    host.scripts["train"] = Script(makes={"train.log": b"x"})
    work = make_client("train")
    outcome = work.do()
    assert outcome.status is Status.FAILED
    assert outcome.tasks[0].reason == "exited 0 but did not produce its output model"
    assert (outcome.error, code(outcome)) == (None, 1)
    assert work.record()["tasks"][0]["reason"] == outcome.tasks[0].reason


@pytest.mark.parametrize(("dockerfile", "verb"), [(False, "pull"), (True, "build")])
def test_an_image_that_is_absent_is_made(
    host: FakeHost, make_client: MakeClient, dockerfile: bool, verb: str
) -> None:
    host.has_image = False
    work = make_client("train", dockerfile=dockerfile)
    assert work.do().succeeded
    ((inside, folder, engine, action, *more),) = host.args("mlcr_run_while_connected")
    assert (inside, engine, action) == ("mlcr_run_in", "docker", verb)
    labels = dict(word.partition("=")[::2] for word in more if word.startswith("org.mlcommons."))
    assert [label.partition(".mlcube-remote.")[2] for label in labels] == (
        ["owner", "image", "sources"] if dockerfile else []
    )
    assert list(labels.values())[:2] == (["1000", "example/mnist"] if dockerfile else [])
    assert folder.startswith("/r/cubes/mnist-")
    assert work.output(task=None) == b"built\n"
    functions = host.functions()
    assert functions.index("mlcr_run_while_connected") < functions.index("mlcr_launch_job")


def test_an_image_that_cannot_be_built(host: FakeHost, make_client: MakeClient) -> None:
    host.has_image = False
    host.build = Reply(1, b"step 1\n", b"no space left\n")
    work = make_client("train", dockerfile=True)
    outcome = work.do()
    assert isinstance(outcome.error, ConfigureError)
    assert "build of image example/mnist failed (status 1)" in outcome.error.message
    assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, 122)
    assert host.functions()[-1] == "mlcr_release_job"
    assert host.jobs == {}, "the claim was given back"
    assert host.args("mlcr_launch_job") == []
    assert work.stages() == ["connect", "sync"]
    assert work.record()["status"] == "not-started"


def test_a_pull_that_fails_once_is_repeated(host: FakeHost, make_client: MakeClient) -> None:
    host.has_image = False
    host.answer("mlcr_run_while_connected", Reply(1, b"", b"read: connection reset by peer\n"))
    work = make_client("train")
    assert work.do().succeeded
    assert len(host.args("mlcr_run_while_connected")) == 2
    assert work.notes()[0].startswith("no image yet (read: connection reset by peer)")


UNFIT = {
    "no engine": (
        "mlcr_print_image_platform",
        Reply(127, b"", b"docker: not found\n"),
        "docker was not found",
    ),
    "engine hangs": (
        "mlcr_print_image_platform",
        Reply(124, b"", b""),
        "docker did not answer within 30 s",
    ),
    "root of another": (
        "mlcr_probe_host",
        Reply(3, b"", b"/r is not writable\n"),
        "remote_root cannot",
    ),
    "a probe of nonsense": (
        "mlcr_probe_host",
        Reply(0, b"home=/h\0", b""),
        "unexpected answer to the host probe",
    ),
    "full disk": (
        "mlcr_claim_job",
        Reply(1, b"", b"No space left\n"),
        "files could not be written",
    ),
    "no launch": (
        "mlcr_launch_job",
        Reply(1, b"", b"No space left\n"),
        "files could not be written",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_host_that_cannot_do_it(host: FakeHost, make_client: MakeClient, case: str) -> None:
    function, answer, message = UNFIT[case]
    host.answer(function, answer)
    work = make_client("train")
    outcome = work.do()
    assert isinstance(outcome.error, HostUnfitError)
    assert message in outcome.error.message
    assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, 122)
    assert [task.status for task in outcome.tasks] == [Status.NOT_STARTED]
    assert host.jobs == {}
    assert host.connections[0].is_closed


@pytest.mark.parametrize(
    ("version", "message"), [("", "rsync was not found"), ("3.0.9", "rsync 3.0.9 is too old")]
)
def test_a_host_without_a_usable_rsync(
    host: FakeHost, make_client: MakeClient, version: str, message: str
) -> None:
    host.facts["rsync"] = version
    outcome = make_client("train").do()
    assert isinstance(outcome.error, HostUnfitError)
    assert message in outcome.error.message
    assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, 122)
    assert host.functions() == ["mlcr_probe_host"]


def test_an_image_for_another_machine(host: FakeHost, make_client: MakeClient) -> None:
    host.architecture = "arm64"
    outcome = make_client("train").do()
    assert isinstance(outcome.error, HostUnfitError)
    assert "is for arm64, the host is amd64" in outcome.error.message
    assert host.jobs == {}
    host.kinds["/proc/sys/fs/binfmt_misc/qemu-aarch64"] = "f"
    work = make_client("train")
    assert work.do().succeeded
    assert any("it runs emulated, which is slow" in note for note in work.notes(Level.WARNING))


@pytest.mark.parametrize(
    "refusal",
    [UnreachableError("gpu01", "connection refused"), AuthenticationError("gpu01", "no key")],
)
def test_a_host_that_refuses_the_connection(
    host: FakeHost, make_client: MakeClient, refusal: HostError
) -> None:
    host.refuse(refusal)
    work = make_client("train")
    outcome = work.do()
    assert outcome.error is refusal
    assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, 120)
    assert host.calls == []
    started = [event.stage.value for event in work.events if isinstance(event, StageStarted)]
    assert (started, work.stages()) == (["connect"], [])
    assert work.record()["error"]["kind"] == type(refusal).__name__.removesuffix("Error")


@pytest.mark.parametrize("may_run", [False, True])
def test_a_job_that_may_run_already_is_not_called_not_started(
    host: FakeHost, make_client: MakeClient, may_run: bool
) -> None:
    host.refuse(UnreachableError("gpu01", "connection refused"))
    outcome = make_client("train").do(may_run=may_run)
    assert outcome.status is (Status.UNKNOWN if may_run else Status.NOT_STARTED)
