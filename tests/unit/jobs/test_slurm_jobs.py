# SPDX-License-Identifier: Apache-2.0
"""How jobs are submitted to Slurm and listed, and how their ends are reported."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from mlcube_remote.errors import HostUnfitError, StateUnknownError
from mlcube_remote.events.outcome import Status
from mlcube_remote.inventory.model import Host, Launcher
from mlcube_remote.jobs.handle import JobHandle, TaskHandle, from_document, to_document
from mlcube_remote.jobs.launch import Claimed, launch
from mlcube_remote.jobs.query import FoundJob, query_host
from mlcube_remote.jobs.slurm import ended_by_slurm, schedule
from mlcube_remote.jobs.state import TaskReport, derive_outcome, read_task
from mlcube_remote.plan.slurm import BatchJob
from mlcube_remote.remote import slurm_scheduler
from mlcube_remote.transport.base import Reply, Stream
from mlcube_remote.transport.fake import FakeConnection
from tests.support.fake_jobs import records

TASK = TaskHandle(task="t", engine=("apptainer",), container="")
HANDLE = JobHandle(
    run_id="r",
    job_id="r-h",
    host="h",
    platform="apptainer",
    cube="cube",
    client="ada@here",
    root="/root",
    tasks=(TASK,),
    folders=(),
    launcher=Launcher.SLURM,
)
BASE = TaskReport(exit=None, alive=False, sizes=dict.fromkeys(Stream, 0))


@pytest.mark.parametrize(
    ("word", "status", "reason"),
    [
        ("TIMEOUT", Status.KILLED, "reached the time limit of its Slurm job"),
        ("DEADLINE", Status.KILLED, "reached the deadline"),
        ("OUT_OF_MEMORY", Status.KILLED, "out of memory"),
        ("PREEMPTED", Status.KILLED, "preempted"),
        ("CANCELLED", Status.CANCELLED, "its Slurm job was cancelled"),
        ("CANCELLED by 1000", Status.CANCELLED, "its Slurm job was cancelled by 1000"),
        ("NODE_FAIL", Status.LOST, "its compute node failed"),
        ("BOOT_FAIL", Status.LOST, "did not boot"),
        ("COMPLETED", Status.LOST, "left no exit code (Slurm: COMPLETED)"),
        ("SOMETHING_NEW", Status.LOST, "left no exit code (Slurm: SOMETHING_NEW)"),
    ],
)
@pytest.mark.parametrize("exit_code", [None, 143])
def test_ends(word: str, status: Status, reason: str, exit_code: int | None) -> None:
    told = attrs.evolve(BASE, scheduler=word, exit=exit_code, started=10)
    outcome = derive_outcome(HANDLE, TASK, told)
    assert (outcome.status, outcome.exit_code) == (status, exit_code)
    assert reason in outcome.reason
    assert outcome.timed_out is (word in {"TIMEOUT", "DEADLINE"})


def test_a_task_that_succeeded_before_the_signal_has_succeeded() -> None:
    told = attrs.evolve(BASE, scheduler="TIMEOUT", exit=0)
    assert derive_outcome(HANDLE, TASK, told).status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("log_end", "reason"),
    [
        ("Lmod says:\nno module apptainer\n", "its log ends with: no module apptainer"),
        ("", "is /root on a file system that the compute nodes share?"),
    ],
)
def test_a_job_that_did_not_get_to_its_task_says_what_to_look_at(log_end: str, reason: str) -> None:
    told = attrs.evolve(BASE, scheduler="FAILED", log_end=log_end)
    outcome = derive_outcome(HANDLE, TASK, told)
    assert outcome.status is Status.LOST
    assert outcome.reason == f"it did not start on its compute node (Slurm: FAILED): {reason}"


@pytest.mark.parametrize("word", ["NODE_FAIL", "NOT_SUBMITTED", "CANCELLED"])
def test_other_ends_before_the_first_task_keep_their_words(word: str) -> None:
    outcome = derive_outcome(HANDLE, TASK, attrs.evolve(BASE, scheduler=word))
    assert outcome.reason == ended_by_slurm(word).reason


def test_a_queued_job_that_the_user_stopped_was_stopped_on_request() -> None:
    told = attrs.evolve(BASE, scheduler="CANCELLED", stopped=True)
    assert derive_outcome(HANDLE, TASK, told).reason == "stopped on request"


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"state": "queued", "queued": "Priority"}, "queued (Priority)"),
        ({"state": "queued", "queued": "Priority", "is_stopping": True}, "stopping"),
        ({"state": "queued"}, "queued"),
        ({"state": "unknown"}, "unknown"),
        ({"state": "lost", "scheduler": "NODE_FAIL"}, "lost (Slurm: NODE_FAIL)"),
        ({"state": "ended", "scheduler": "CANCELLED by 0"}, "cancelled"),
        ({"state": "ended", "scheduler": "TIMEOUT"}, "killed (Slurm: TIMEOUT)"),
    ],
)
def test_shown_states(changes: dict[str, Any], shown: str) -> None:
    job = FoundJob(host="h", job_id="j", age=1, handle=None, **changes)
    assert job.shown_state == shown
    assert job.is_live is (changes["state"] in {"queued", "unknown"})


def test_a_list_of_jobs_has_the_reason() -> None:
    connection = FakeConnection("h")
    answer = records({"job": "j", "state": "queued", "age": 3, "slurm": 7, "queued": "Resources"})
    connection.answer("mlcr_report_jobs", Reply(0, answer, b""))
    (job,) = query_host(connection, Host(name="h"), everything=True)
    assert job.shown_state == "queued (Resources)"


def test_a_report_says_why_a_task_waits() -> None:
    connection = FakeConnection("h")
    answer = records(
        {"exit": "pending", "alive": "yes", "queued": "Resources", "stdout": 0, "stderr": 0}
    )
    connection.answer("mlcr_report_task", Reply(0, answer, b""))
    assert read_task(connection, HANDLE, 1).queued == "Resources"


def test_a_handle_names_its_launcher_and_older_ones_had_none() -> None:
    document = to_document(HANDLE)
    assert from_document(document) == HANDLE
    del document["launcher"]
    assert from_document(document).launcher is Launcher.SETSID


def test_options_of_sbatch_are_words_not_text_of_a_script() -> None:
    connection = FakeConnection("h")
    connection.answer("mlcr_schedule_job", Reply(0, b"", b""))
    options = ("--account=a b", "--comment=$(rm x)")
    batch = BatchJob(options=options, setup="true\n")
    schedule(connection, HANDLE, batch, ["TOKEN"], scratch=["$TMPDIR", "a b"])
    (call,) = connection.calls
    assert call.args == (
        *("/root/jobs/r-h", slurm_scheduler()),
        *("'--account=a b' '--comment=$(rm x)'", "true\n", "'$TMPDIR' 'a b'", "TOKEN"),
    )


@pytest.mark.parametrize(
    ("code", "message", "error", "reason"),
    [
        (
            21,
            b"sbatch: error: invalid partition specified: x\nsbatch: error: Batch job failed\n",
            HostUnfitError,
            "Slurm refused the job: invalid partition specified: x; Batch job failed",
        ),
        (21, b"timeout: sbatch: not found\n", HostUnfitError, "sbatch was not found"),
        (22, b"", StateUnknownError, "Slurm gives no answer, and may have the job"),
    ],
)
def test_errors_of_the_submission(
    code: int, message: bytes, error: type[Exception], reason: str
) -> None:
    connection = FakeConnection("h")
    connection.answer("mlcr_launch_job", Reply(code, b"", message))
    with pytest.raises(error, match=reason):
        launch(connection, HANDLE, [], {}, claimed=Claimed(lock="/l"))
