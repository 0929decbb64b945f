# SPDX-License-Identifier: Apache-2.0
"""``clean`` keeps what commands need to find outputs and jobs that are left."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import attrs
import pytest

from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.clean import Cleaned, clean_old
from mlcube_remote.jobs.handle import JobHandle, to_document
from mlcube_remote.jobs.lookup import load_recorded
from mlcube_remote.jobs.query import FoundJob
from mlcube_remote.runs.store import RUN, Store
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import FakeConnection
from mlcube_remote.ui.tables.clean import clean_document, clean_text
from tests.support.handles import TICKET

RUN_ID = TICKET.run_id
GPU = Host(name="gpu", address="gpu")
SEEN = {"status": "succeeded", "seconds": {"run": 1.0, "pull": 1.0}}
"""The record of a job that this machine has followed to its end."""
DETACHED = {"status": "running", "seconds": {}}


def trial(number: int) -> JobHandle:
    return attrs.evolve(TICKET, job=f"{number:02}", job_id=f"{RUN_ID}-{number:02}-0123456789ab")


def record(store: Store, handle: JobHandle, document: Mapping[str, object]) -> None:
    known = {"job": handle.job, "attempt": 1, **document, "ticket": to_document(handle)}
    store.write(RUN_ID, handle.job_id, known)


def plan(store: Store, *names: str) -> None:
    store.write(RUN_ID, RUN, {"jobs": [{"name": name, "host": None} for name in names]})


def facts(handle: JobHandle, state: str) -> str:
    task = "task=train\0exit=0\0started=10\0finished=12\0"
    return f"job={handle.job_id}\0state={state}\0age=61\0{task}"


def clean(
    store: Store,
    *jobs: tuple[JobHandle, str],
    with_outputs: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> Cleaned:
    """Clean a host that has these jobs, each with its state; something else happens meanwhile."""
    host = FakeConnection("gpu")
    requests = (f"request={each.job_id} {json.dumps(to_document(each))}\0" for each, _ in jobs)
    answer = "".join([*(facts(each, state) for each, state in jobs), *requests])
    host.answer("mlcr_report_jobs", Reply(0, answer.encode(), b""))
    host.answer("mlcr_remove_job", *[Reply(0, b"", b"") for _ in jobs])
    host.answer("mlcr_remove_leftovers", Reply(0, b"", b""))
    connections = 0

    def connect(_: Host) -> FakeConnection:
        nonlocal connections
        connections += 1
        if connections == 2:  # the first one was for the list of jobs
            meanwhile()
        return host

    (done,) = clean_old([GPU], connect, store=store, older_than=1, with_outputs=with_outputs)
    return done


def names(jobs: tuple[FoundJob, ...]) -> list[str]:
    return [job.handle.job for job in jobs if job.handle]


def test_a_run_is_forgotten_with_its_last_job(tmp_path: Path) -> None:
    store = Store(tmp_path)
    plan(store, "01", "02")
    for number in (1, 2):
        record(store, trial(number), SEEN)
    assert names(clean(store, (trial(1), "ended"), (trial(2), "running")).removed) == ["01"]
    assert store.has(RUN_ID, RUN), "without it, nothing finds the job that runs"
    assert [job.name for job in load_recorded(RUN_ID, store, [GPU]).jobs] == ["02"]
    assert names(clean(store, (trial(2), "ended")).removed) == ["02"]
    assert not list(store.runs())


def test_a_run_stays_whose_trials_wait_for_a_host(tmp_path: Path) -> None:
    store = Store(tmp_path)
    plan(store, "01", "02")
    record(store, trial(1), SEEN)
    clean(store, (trial(1), "ended"))
    assert store.has(RUN_ID, RUN)


@pytest.mark.parametrize(
    ("document", "is_left"), [(SEEN, True), ({"status": "not-started", "seconds": {}}, False)]
)
def test_a_job_on_another_host_keeps_the_run(
    document: Mapping[str, object], is_left: bool, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    plan(store, "01", "02")
    record(store, trial(1), SEEN)
    record(store, attrs.evolve(trial(2), host="cpu"), document)
    clean(store, (trial(1), "ended"))
    assert store.has(RUN_ID, RUN) == is_left


def test_a_job_with_outputs_that_were_not_pulled_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    plan(store, "01", "02")
    record(store, trial(1), SEEN)
    record(store, trial(2), DETACHED)
    done = clean(store, (trial(1), "ended"), (trial(2), "ended"))
    assert (names(done.removed), names(done.kept)) == (["01"], ["02"])
    assert clean_text([done], mirrors=None, dry_run=False).splitlines() == [
        f"removed gpu: {RUN_ID}/01 (succeeded, 1m 1s old)",
        f"kept gpu: {RUN_ID}/02 (succeeded, 1m 1s old): this machine has not pulled its outputs",
        f"  pull them:      mlcube-remote pull {RUN_ID}",
        "  or remove them: mlcube-remote clean --cubes --with-outputs",
    ]
    (host,) = clean_document([done], mirrors=(), dry_run=False)["hosts"]
    assert [job["job"] for job in host["kept_jobs"]] == [trial(2).job_id]
    forced = clean(store, (trial(2), "ended"), with_outputs=True)
    assert (names(forced.removed), names(forced.kept)) == (["02"], [])
    assert not list(store.runs())


def test_a_job_without_outputs_is_removed_without_a_pull(tmp_path: Path) -> None:
    store = Store(tmp_path)
    silent = attrs.evolve(trial(1), folders=())
    record(store, silent, DETACHED)
    assert names(clean(store, (silent, "ended")).removed) == ["01"]


def test_an_attempt_that_another_one_has_replaced_is_removed_without_a_pull(tmp_path: Path) -> None:
    store = Store(tmp_path)
    plan(store, "01")
    again = attrs.evolve(trial(1), job_id=f"{RUN_ID}-01.2-0123456789ab")
    record(store, trial(1), {**DETACHED, "status": "lost"})
    record(store, again, {**DETACHED, "attempt": 2})
    done = clean(store, (trial(1), "lost"), (again, "running"))
    assert [job.job_id for job in done.removed] == [trial(1).job_id]
    done = clean(store, (again, "ended"))
    assert [job.job_id for job in done.kept] == [again.job_id], "nothing has pulled its outputs"


def test_a_job_that_starts_meanwhile_keeps_the_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    plan(store, "01", "02")
    record(store, trial(1), SEEN)
    record(store, attrs.evolve(trial(2), job_id=f"{RUN_ID}-02-000000000000"), {"status": "lost"})
    again = attrs.evolve(trial(2), job_id=f"{RUN_ID}-02.2-0123456789ab")
    clean(
        store,
        (trial(1), "ended"),
        meanwhile=lambda: record(store, again, {"status": "planned", "attempt": 2}),
    )
    assert [job.job_id for job in load_recorded(RUN_ID, store, [GPU]).jobs] == [again.job_id]


@pytest.mark.parametrize(("days", "is_left"), [(1, True), (90, False)])
def test_a_host_that_is_still_prepared_keeps_a_run_that_is_not_old(
    days: int, is_left: bool, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    here = attrs.evolve(trial(1), job="")
    created = datetime.now(timezone.utc) - timedelta(days=days)
    jobs = [{"host": "gpu", "job": here.job_id}, {"host": "cpu", "job": f"{RUN_ID}-cpu-0"}]
    store.write(RUN_ID, RUN, {"created": created.isoformat(), "jobs": jobs})
    record(store, here, SEEN)
    clean(store, (here, "ended"))
    assert store.has(RUN_ID, RUN) == is_left


def test_a_trial_that_got_no_host_does_not_keep_the_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    plan(store, "01", "02")
    record(store, trial(1), SEEN)
    store.write(RUN_ID, f"{RUN_ID}-02-0", {"status": "not-started", "job": "02"})
    clean(store, (trial(1), "ended"))
    assert not list(store.runs())
