# SPDX-License-Identifier: Apache-2.0
"""What is written down of a job: each command adds what it knows, none takes knowledge away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from mlcube_remote.dispatch.finish import JobIdentity, Phase, finishing
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import (
    HostError,
    MLCubeRemoteError,
    NotStartedError,
    StateUnknownError,
    StoppedByUserError,
    UnreachableError,
)
from mlcube_remote.events.outcome import JobOutcome, PulledOutput, Status, TaskOutcome
from mlcube_remote.jobs.handle import JobHandle, TaskHandle, from_document
from mlcube_remote.jobs.records import record_outcome, record_planned, was_pulled, was_seen
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest
from mlcube_remote.runs.store import Store

RUN, JOB = "261123-190233-k3j5h2g7x4q6w2ez", "a-job"
TICKET = JobHandle(
    run_id=RUN,
    job_id=JOB,
    host="gpu",
    platform="docker",
    cube="c",
    client="me@here",
    root="/r",
    tasks=(TaskHandle(task="train", engine=("docker",), container="x"),),
    folders=(),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def outcome(status: Status, *outputs: str, **changes: Any) -> JobOutcome:
    pulled = tuple(
        PulledOutput(task="train", name=name, path=Path("/o") / name) for name in outputs
    )
    found = JobOutcome(
        host="gpu", platform="docker", status=status, seconds={"connect": 0.1}, outputs=pulled
    )
    return attrs.evolve(found, **changes)


def pulled(status: Status, *outputs: str, **changes: Any) -> JobOutcome:
    return outcome(status, *outputs, seconds={"connect": 9.0, "run": 2.0, "pull": 0.1}, **changes)


def written(store: Store, *found: JobOutcome, handle: JobHandle | None = TICKET) -> dict[str, Any]:
    for each in found:
        record_outcome(store, RUN, JOB, each, handle)
    document = store.read(RUN, JOB)
    assert document is not None
    return document


def test_status_keeps_the_recorded_outputs(store: Store) -> None:
    done = written(store, pulled(Status.SUCCEEDED, "model"), outcome(Status.SUCCEEDED))
    assert [output["name"] for output in done["outputs"]] == ["model"]


def test_a_pull_of_one_output_keeps_what_is_known_of_the_others(store: Store) -> None:
    again = pulled(Status.SUCCEEDED, "log")
    done = written(store, pulled(Status.SUCCEEDED, "model", "log"), again)
    assert [output["name"] for output in done["outputs"]] == ["model", "log"]


def test_a_missing_output_stays_a_failure_in_status(store: Store) -> None:
    lacking = TaskOutcome(task="train", status=Status.FAILED, exit_code=0, reason="no model")
    done = written(store, pulled(Status.FAILED, tasks=(lacking,)), outcome(Status.SUCCEEDED))
    assert (done["status"], done["exit_code"]) == ("failed", 1)


def test_the_seconds_are_those_of_the_client_that_did_the_work(store: Store) -> None:
    detached = outcome(Status.RUNNING, seconds={"connect": 0.1, "sync": 0.5})
    done = written(store, detached, pulled(Status.SUCCEEDED))
    assert done["seconds"] == {"connect": 0.1, "sync": 0.5, "run": 2.0, "pull": 0.1}


@pytest.mark.parametrize("before", [Status.RUNNING, Status.UNKNOWN, Status.FAILED])
def test_a_client_without_connection_does_not_call_a_job_not_started(
    store: Store, before: Status
) -> None:
    lost = outcome(Status.NOT_STARTED, error=UnreachableError("gpu", "no route"))
    written(store, outcome(before))
    assert written(store, lost, handle=None)["status"] == before.value


def test_a_job_that_was_about_to_start_is_not_called_not_started_from_afar(store: Store) -> None:
    record_planned(store, TICKET)
    lost = outcome(Status.NOT_STARTED, error=UnreachableError("gpu", "no route"))
    assert written(store, lost, handle=None)["status"] == "planned"
    assert written(store, lost, handle=TICKET)["status"] == "not-started", "who claimed it knows"


def test_its_host_may_say_that_a_job_was_not_started(store: Store) -> None:
    result = outcome(Status.NOT_STARTED, error=NotStartedError("gpu", "nothing there"))
    assert written(store, outcome(Status.UNKNOWN), result)["status"] == "not-started"


def test_a_job_that_was_cleaned_away_keeps_its_end(store: Store) -> None:
    result = outcome(Status.NOT_STARTED, error=NotStartedError("gpu", "nothing there"))
    assert written(store, pulled(Status.SUCCEEDED), result)["status"] == "succeeded"


def test_the_ticket_stays(store: Store) -> None:
    record_planned(store, TICKET)
    record_outcome(store, RUN, JOB, outcome(Status.UNKNOWN), None)
    document = store.read(RUN, JOB)
    assert document is not None
    assert from_document(document["ticket"]) == TICKET


def test_a_host_that_was_never_reached_is_remembered_with_its_reason(store: Store) -> None:
    error = UnreachableError("gpu", "no route", hint="ping gpu")
    done = written(store, outcome(Status.NOT_STARTED, error=error), handle=None)
    assert done["error"] == {
        "kind": "Unreachable",
        "message": "gpu: no route",
        "hint": "ping gpu",
        "exit_code": 120,
    }
    assert "ticket" not in done


def test_a_damaged_record_is_replaced(store: Store) -> None:
    record_planned(store, TICKET)
    (store.root / RUN / f"{JOB}.json").write_text("{")
    assert written(store, outcome(Status.RUNNING))["status"] == "running"


def fail(error: MLCubeRemoteError) -> None:
    raise error


LAUNCHED, NOT_LAUNCHED = Phase.LAUNCHED, Phase.NOT_LAUNCHED


@pytest.mark.parametrize(
    ("phase", "error", "status"),
    [
        (NOT_LAUNCHED, UnreachableError("h", "x"), Status.NOT_STARTED),
        (LAUNCHED, UnreachableError("h", "x"), Status.UNKNOWN),
        (LAUNCHED, StateUnknownError("h", "x"), Status.UNKNOWN),
        (LAUNCHED, NotStartedError("h", "x"), Status.NOT_STARTED),
        (LAUNCHED, HostError("h", "x"), Status.FAILED),
        (NOT_LAUNCHED, StoppedByUserError(), Status.CANCELLED),
        (LAUNCHED, StoppedByUserError(), Status.UNKNOWN),
    ],
)
def test_what_may_go_on_is_not_called_over(
    store: Store, phase: Phase, error: MLCubeRemoteError, status: Status
) -> None:
    def nowhere(*_: Any) -> Any:
        raise AssertionError

    run = RunContext(connect=nowhere, sink=lambda _: None, store=store)
    identity = JobIdentity(run_id=RUN, job_id=JOB, host="h", platform="docker", tasks=("train",))
    with finishing(identity, run, phase=phase) as progress:
        fail(error)
    found = progress.outcome
    (task,) = found.tasks
    unknown = status is Status.UNKNOWN and not isinstance(error, StoppedByUserError)
    assert found.status is status
    assert task.status is (Status.UNKNOWN if unknown else Status.NOT_STARTED)
    document = store.read(RUN, JOB)
    assert document is not None
    assert document["status"] == status.value


@pytest.mark.parametrize(
    ("found", "seen"),
    [
        (pulled(Status.SUCCEEDED), True),
        (pulled(Status.FAILED), True),
        (pulled(Status.RUNNING), False),
        (pulled(Status.UNKNOWN), False),
        (outcome(Status.SUCCEEDED), False),
        (outcome(Status.SUCCEEDED, seconds={"pull": 0.1}), False),
        (outcome(Status.SUCCEEDED, seconds={"run": 2.0}), False),
    ],
)
def test_a_job_counts_as_seen_once_it_was_followed_to_its_end(
    store: Store, found: JobOutcome, seen: bool
) -> None:
    assert was_seen(written(store, found)) is seen


WITH_OUTPUTS = attrs.evolve(
    TICKET,
    folders=(
        DownloadFolder(
            remote="/r/w",
            target=Path("/o"),
            basis=None,
            outputs=tuple(
                DownloadRequest(task="train", name=name, path=name, directory=None)
                for name in ("model", "log")
            ),
        ),
    ),
)


@pytest.mark.parametrize(
    ("found", "is_pulled"),
    [
        (pulled(Status.SUCCEEDED), True),
        (outcome(Status.SUCCEEDED, "model", "log"), True),
        (outcome(Status.SUCCEEDED, "model"), False),
        (outcome(Status.RUNNING), False),
        (
            outcome(
                Status.RUNNING,
                outputs=tuple(
                    PulledOutput(task="train", name=name, path=Path("/o"), is_partial=True)
                    for name in ("model", "log")
                ),
            ),
            False,
        ),
    ],
)
def test_outputs_are_here_once_all_are_pulled_complete(
    store: Store, found: JobOutcome, is_pulled: bool
) -> None:
    document = written(store, found, handle=WITH_OUTPUTS)
    assert was_pulled(document, WITH_OUTPUTS) is is_pulled
    assert not was_pulled({}, None), "without a handle nothing is known"
    assert was_pulled({}, TICKET), "a job without outputs has none on its host"
