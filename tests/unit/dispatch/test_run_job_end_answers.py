# SPDX-License-Identifier: Apache-2.0
"""A host that answers the end of a task saves the client all further calls."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mlcube_remote.errors import UnsafeContentError
from mlcube_remote.events.outcome import Status
from mlcube_remote.transport.fake import RSYNC
from tests.support.fake_host import FakeHost
from tests.support.fake_jobs import Script
from tests.support.fake_runs import MakeClient
from tests.support.sent import send_folder

SENT: Mapping[str, bytes | None] = {
    "./model": None,
    "./model/weights": b"123",
    "./train.log": b"done\n",
}

AFTER_THE_TASK = ("mlcr_report_task", "mlcr_print_checksums")


@pytest.fixture
def host(host: FakeHost) -> FakeHost:
    host.answers_ends = True
    return host


def test_small_outputs_need_no_further_call(host: FakeHost, make_client: MakeClient) -> None:
    work = make_client("train")
    outcome = work.do()
    assert outcome.status is Status.SUCCEEDED
    assert host.functions()[-1] == "mlcr_follow_task"
    assert (work.workspace / "model/weights").read_bytes() == b"123"
    assert (work.workspace / "train.log").read_bytes() == b"done\n"
    assert work.details()["pull"] == "2 files, 8 B"
    assert {output.name: output.is_partial for output in outcome.outputs} == {
        "model": False,
        "log": False,
    }
    assert list(work.workspace.glob(".mlcube-remote*")) == []


def test_only_the_last_task_brings_the_outputs(host: FakeHost, make_client: MakeClient) -> None:
    work = make_client("prepare", "train")
    assert work.do().status is Status.SUCCEEDED
    assert not set(AFTER_THE_TASK) & set(host.functions())
    assert (work.workspace / "data/images").exists()
    assert (work.workspace / "train.log").exists()


def test_outputs_of_a_failed_task_are_partial(host: FakeHost, make_client: MakeClient) -> None:
    host.scripts["train"] = Script(exit_code=3, makes={"train.log": b"half"})
    work = make_client("train")
    outcome = work.do()
    assert outcome.status is Status.FAILED
    assert [output.is_partial for output in outcome.outputs] == [True]
    assert (work.workspace / "train.log").read_bytes() == b"half"


def test_an_output_that_was_not_made_fails_the_task(
    host: FakeHost, make_client: MakeClient
) -> None:
    host.scripts["train"] = Script(makes={"train.log": b"done\n"})
    outcome = make_client("train").do()
    assert outcome.status is Status.FAILED
    assert "did not produce its output model" in outcome.tasks[0].reason


def test_larger_outputs_are_pulled(host: FakeHost, make_client: MakeClient) -> None:
    host.sends_outputs = False
    work = make_client("train")
    assert work.do().status is Status.SUCCEEDED
    assert host.functions().count(RSYNC) == 2
    assert "mlcr_report_task" not in host.functions()
    assert (work.workspace / "train.log").read_bytes() == b"done\n"


@pytest.mark.parametrize(
    "sent",
    [
        send_folder(1, SENT).replace(b"sums=", b"sums=0"),
        send_folder(1, SENT)[:-1],
        send_folder(1, SENT) + b"more",
        send_folder(2, SENT),
        send_folder(1, {**SENT, "./conf.yaml": b"lr: 2\n"}),
        send_folder(1, {**SENT, "./model": b"a file"}),
        b"folder=one\0",
    ],
    ids=["sums", "cut", "more", "another folder", "another file", "contradiction", "nonsense"],
)
def test_what_does_not_fit_is_not_used(
    host: FakeHost, make_client: MakeClient, sent: bytes
) -> None:
    host.sent = sent
    work = make_client("train")
    assert work.do().status is Status.SUCCEEDED
    assert host.functions().count(RSYNC) == 2
    assert (work.workspace / "model/weights").read_bytes() == b"123"
    assert (work.workspace / "conf.yaml").read_text() == "lr: 1\n"


@pytest.mark.parametrize("path", ["../evil", "/tmp/evil", "./model/../../evil"])
def test_a_path_that_leads_out_is_refused(
    host: FakeHost, make_client: MakeClient, path: str
) -> None:
    host.sent = send_folder(1, {**SENT, path: b"evil"})
    work = make_client("train")
    outcome = work.do()
    assert type(outcome.error) is UnsafeContentError
    assert list(work.workspace.parent.rglob("evil")) == []
    assert not (work.workspace / "train.log").exists(), "nothing of it is put in place"


def test_a_file_is_not_written_for_a_directory(host: FakeHost, make_client: MakeClient) -> None:
    host.sent = send_folder(1, {"./model": b"a file", "./train.log": b"done\n"})
    work = make_client("train")
    assert work.do().status is Status.FAILED
    assert not (work.workspace / "model").exists()
    assert any("was declared as a directory" in note for note in work.notes())


def test_outputs_are_not_lost_with_the_connection(host: FakeHost, make_client: MakeClient) -> None:
    host.cut("mlcr_follow_task", after=True)
    work = make_client("train")
    assert work.do().status is Status.SUCCEEDED
    assert (work.workspace / "train.log").read_bytes() == b"done\n"
    assert work.output() == b"epoch 1\nepoch 2\n"


def test_without_the_fast_path_each_step_waits_for_the_one_before(
    host: FakeHost, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLCUBE_REMOTE_FAST", "0")
    work = make_client("train")
    assert work.do().status is Status.SUCCEEDED
    assert [name for name in host.functions() if name in (*AFTER_THE_TASK, RSYNC)] == [
        RSYNC,
        *("mlcr_report_task", RSYNC, "mlcr_print_checksums"),
    ]
