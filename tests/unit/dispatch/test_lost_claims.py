# SPDX-License-Identifier: Apache-2.0
"""A connection that breaks before the launch, while another job gets the workspace or a GPU."""

from __future__ import annotations

import pytest

from mlcube_remote.errors import BusyError
from mlcube_remote.events.outcome import Status
from tests.support.fake_host import FakeHost, cut
from tests.support.fake_host_state import HostConnection
from tests.support.fake_jobs import FakeJob
from tests.support.fake_library import end_task
from tests.support.fake_runs import OTHER_RUN_ID, MakeClient, code


def test_a_workspace_that_another_run_got_during_a_cut_launch(
    host: FakeHost, make_client: MakeClient
) -> None:
    work = make_client("train")
    other = make_client("prepare", run={"detach": True}, run_id=OTHER_RUN_ID)

    def lose(connection: HostConnection) -> None:
        cut(connection)
        assert other.do().status is Status.RUNNING

    host.when("mlcr_launch_job", lose)
    outcome = work.do()
    assert isinstance(outcome.error, BusyError)
    assert OTHER_RUN_ID in outcome.error.reason
    assert (outcome.status, code(outcome)) == (Status.NOT_STARTED, 117)
    launched = [job.document()["run_id"] for job in host.jobs.values()]
    assert launched == [OTHER_RUN_ID], "two runs must not write into one workspace"


AGAIN = "another run has used the workspace meanwhile: preparing it again"


@pytest.mark.parametrize("function", ["mlcr_launch_job", "mlcr_run_while_connected"])
@pytest.mark.parametrize("waits", [False, True])
def test_a_workspace_that_another_run_changed_while_there_was_no_connection(
    host: FakeHost, make_client: MakeClient, function: str, waits: bool
) -> None:
    """It is prepared again: the other run has sent its own cube, and its tasks have written."""
    work = make_client("train", run={"wait": waits})
    other = make_client("prepare", run={"detach": waits}, run_id=OTHER_RUN_ID)
    host.has_image = False

    def lose(connection: HostConnection) -> None:
        cut(connection)
        host.has_image = True
        outcome = other.do()
        assert outcome.status is (Status.RUNNING if waits else Status.SUCCEEDED)
        if waits:  # it ends while this client waits
            (job,) = (each for each in host.jobs.values() if each.tasks)
            host.when("mlcr_claim_job", lambda _: end_task(host, job), nth=2)
        host.calls.clear()

    host.when(function, lose)
    outcome = work.do()
    assert outcome.succeeded, outcome.error
    assert AGAIN in work.notes()
    after = host.functions()
    assert after.index("mlcr_claim_job") < after.index("rsync") < len(after)
    assert after[after.index("rsync") :].count("mlcr_launch_job") == 1


def test_a_gpu_that_another_job_got_during_a_cut_launch(
    host: FakeHost, make_client: MakeClient
) -> None:
    host.gpus = ("GPU-a", "GPU-b")
    work = make_client("train", gpus="1")

    def lose(connection: HostConnection) -> None:
        cut(connection)
        stranger = FakeJob("/r/jobs/stranger", "{}", None)
        stranger.gpus = ("GPU-a",)
        host.jobs[stranger.job_dir] = stranger

    host.when("mlcr_launch_job", lose)
    assert work.do().succeeded
    assert AGAIN in work.notes()
    (mine,) = (job for job in host.jobs.values() if job.tasks)
    assert mine.gpus == ("GPU-b",)
    assert "device=GPU-b" in " ".join(host.args("mlcr_launch_job")[-1])
