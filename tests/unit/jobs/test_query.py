# SPDX-License-Identifier: Apache-2.0
"""Jobs that hosts report, and how they are shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import pytest

from mlcube_remote.errors import HostUnfitError, RecordError, UnreachableError, UsageError
from mlcube_remote.formatting import readable_duration
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.clean import clean_all, select_old
from mlcube_remote.jobs.forget import forget_run
from mlcube_remote.jobs.handle import to_document
from mlcube_remote.jobs.lookup import find_on_hosts, find_run_id, load_recorded
from mlcube_remote.jobs.query import FoundJob, HostJobs, query_all, query_host
from mlcube_remote.runs.store import RUN, Store
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.fake import FakeConnection
from mlcube_remote.ui.tables.jobs import jobs_document, jobs_text, removed_jobs_text
from tests.support.handles import TICKET

GPU = Host(name="gpu", address="gpu")
REQUEST = json.dumps(to_document(TICKET))

Task = Mapping[str, str]


def report(state: str, *tasks: Task, job: str = TICKET.job_id, **more: str) -> bytes:
    facts = [("job", job), ("state", state), ("age", "61"), *more.items()]
    for task in tasks:
        facts += [("task", "train"), *task.items()]
    facts.append(("request", f"{job} {REQUEST}"))
    return "".join(f"{key}={value}\0" for key, value in facts).encode()


def query(answer: bytes) -> tuple[FoundJob, ...]:
    host = FakeConnection("gpu")
    host.answer("mlcr_report_jobs", Reply(0, answer, b""))
    return query_host(host, GPU, everything=True)


RUNS: Task = {"exit": "pending", "started": "10"}
WELL: Task = {"exit": "0", "started": "10", "finished": "12"}
BADLY: Task = {"exit": "3", "started": "10", "finished": "12"}


@pytest.mark.parametrize(
    ("answer", "shown", "is_live"),
    [
        (report("running", RUNS), "running", True),
        (report("orphaned", RUNS), "running", True),
        (report("running", RUNS, stop="yes"), "stopping", True),
        (report("preparing"), "preparing", True),
        (report("elsewhere", RUNS), "elsewhere", True),
        (report("abandoned"), "not-started", False),
        (report("ended", WELL), "succeeded", False),
        (report("ended", WELL, BADLY, {"exit": "pending"}), "failed (3)", False),
        (report("ended", BADLY, stop="yes"), "cancelled", False),
        (report("ended", {**BADLY, "killed": "memory"}), "killed (out of memory)", False),
        (report("ended", {**BADLY, "killed": "engine"}), "killed (engine restarted)", False),
        (report("ended", {**BADLY, "killed": "memory"}, stop="yes"), "cancelled", False),
        (
            report("ended", {**BADLY, "killed": "time"}, stop="yes"),
            "killed (time limit reached)",
            False,
        ),
        (report("ended", {**BADLY, "killed": "a new word"}), "failed (3)", False),
        (report("ended", WELL, {"exit": "pending"}, stop="yes"), "cancelled", False),
        (report("ended", {**BADLY, "failed": "refused"}), "failed (could not start)", False),
        (report("ended", {**BADLY, "failed": "stale"}), "failed (output unchanged)", False),
        (report("ended", {**BADLY, "failed": "unsafe"}), "failed (link leads out)", False),
        (report("ended", {**BADLY, "failed": "a new word"}), "failed (3)", False),
        (report("lost", RUNS), "lost", False),
        (report("lost", RUNS, lost="reboot"), "lost (host rebooted)", False),
        (report("lost", RUNS, lost="gone"), "lost (container removed)", False),
    ],
)
def test_states_are_shown_in_the_users_words(answer: bytes, shown: str, is_live: bool) -> None:
    (job,) = query(answer)
    assert (job.shown_state, job.is_live) == (shown, is_live)
    assert job.handle is not None
    assert job.handle.run_id == TICKET.run_id


def test_a_host_without_jobs_tells_of_none() -> None:
    assert query(b"") == ()


def test_a_request_that_cannot_be_read_hides_no_job() -> None:
    (job,) = query(b"job=x\0state=ended\0age=\0request=x rubbish\0")
    assert job.handle is None
    assert "x" in jobs_text([HostJobs(host=GPU, jobs=(job,))])


@pytest.mark.parametrize("answer", [b"job=x\0", b"job=x\0state=lost\0age=old\0"])
def test_an_answer_that_makes_no_sense_is_reported(answer: bytes) -> None:
    with pytest.raises(HostUnfitError, match="cannot be read"):
        query(answer)


def test_a_host_that_cannot_be_asked_is_an_answer_too() -> None:
    def connect(host: Host) -> Connection:
        if host.name == "down":
            raise UnreachableError("down", "connection refused")
        connection = FakeConnection(host.name)
        connection.answer("mlcr_report_jobs", Reply(0, report("running", RUNS), b""))
        return connection

    surveys = query_all([GPU, Host(name="down")], connect, everything=False)
    text = jobs_text(surveys)
    header, row, _, silent = text.splitlines()
    assert header.split() == [
        *("run", "job", "state", "task", "parameters", "cube", "age", "client")
    ]
    assert row.split() == [
        *(TICKET.run_id, "07@gpu", "running", "train", "lr=0.1", "mnist", "1m", "1s", "ada@laptop")
    ]
    assert silent == "down: no answer: connection refused"
    document = jobs_document(surveys)
    assert document["hosts"][1] == {"host": "down", "error": "connection refused", "jobs": []}
    assert document["hosts"][0]["jobs"][0]["tasks"][0]["started"] == 10


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3600, "1h"), (90_000, "1d 1h"), (86_400, "1d")],
)
def test_ages_are_short(seconds: int, text: str) -> None:
    assert readable_duration(seconds) == text


def test_hostile_names_do_not_reach_the_terminal() -> None:
    (job,) = query(report("running", {"exit": "pending", "started": "1"}, job="\x1b]0;x\x07"))
    evil = attrs.evolve(job, handle=None)
    assert "\x1b" not in jobs_text([HostJobs(host=GPU, jobs=(evil,))])
    assert "\x1b" not in removed_jobs_text({"gpu": [evil]}, dry_run=True)


def _surveys(*jobs: FoundJob) -> Sequence[HostJobs]:
    return [HostJobs(host=GPU, jobs=jobs)]


def test_only_old_jobs_that_have_ended_are_cleaned_away() -> None:
    (ended,) = query(report("ended", WELL))
    (live,) = query(report("running", RUNS))
    assert select_old(_surveys(ended, live), older_than=60) == {"gpu": [ended]}
    assert select_old(_surveys(ended, live), older_than=62) == {}
    assert removed_jobs_text({}, dry_run=False) == "nothing to do"


def test_a_job_that_came_to_life_again_is_not_said_to_be_removed(tmp_path: Path) -> None:
    (first, second) = (*query(report("ended", WELL)), *query(report("ended", WELL, job="other")))
    connection = FakeConnection("gpu")
    connection.answer("mlcr_remove_job", Reply(18, b"", b""), Reply(0, b"", b""))
    connection.answer("mlcr_remove_leftovers", Reply(0, b"", b""))
    (done,) = clean_all([GPU], {"gpu": [first, second]}, lambda _: connection, Store(tmp_path))
    assert done.removed == (second,)
    assert connection.is_closed


def test_a_run_is_found_by_asking_and_goes_below_the_results(tmp_path: Path) -> None:
    found = find_on_hosts(
        TICKET.run_id[-5:], _surveys(*query(report("running", RUNS))), tmp_path.joinpath
    )
    assert found.run_id == TICKET.run_id
    (job,) = found.jobs
    assert job.handle is not None
    assert job.handle.folders[0].target == tmp_path / TICKET.run_id / "07"


def test_a_misspelled_name_of_a_run_gets_the_right_one(tmp_path: Path) -> None:
    (job,) = query(report("running", RUNS))
    assert job.handle is not None
    named = attrs.evolve(job, handle=attrs.evolve(job.handle, run_name="sweep-a"))
    with pytest.raises(UsageError, match=r"no run 'swep-a' .* \(did you mean 'sweep-a'\?\)"):
        find_on_hosts("swep-a", _surveys(named, job), tmp_path.joinpath)


def test_two_runs_that_fit_are_not_guessed_between(tmp_path: Path) -> None:
    (job,) = query(report("running", RUNS))
    assert job.handle is not None
    other = attrs.evolve(job, handle=attrs.evolve(job.handle, run_id=f"{job.handle.run_id[:-1]}b"))
    with pytest.raises(UsageError, match="is ambiguous"):
        find_on_hosts(TICKET.run_id[:6], _surveys(job, other), tmp_path.joinpath)


def test_a_record_gives_tickets_and_survives_a_damaged_one(tmp_path: Path) -> None:
    store, run_id = Store(tmp_path), TICKET.run_id
    jobs = [{"host": "gpu", "job": "j1"}, {"host": "cpu", "job": "j2"}, {"host": "x", "job": "j3"}]
    store.write(run_id, RUN, {"jobs": jobs})
    store.write(run_id, "j1", {"ticket": to_document(TICKET)})
    store.write(run_id, "j2", {"ticket": {"format": 1}, "status": "not-started"})
    assert find_run_id(run_id[:8], store) == run_id
    found = load_recorded(run_id, store, [GPU, Host(name="cpu")])
    assert [job.handle for job in found.jobs] == [TICKET, None]
    assert [job.may_run for job in found.jobs] == [True, False]
    (tmp_path / run_id / "run.json").write_text("{")
    with pytest.raises(RecordError, match="damaged"):
        load_recorded(run_id, store, [GPU])


@pytest.mark.parametrize("handle", [{"format": 99}, {"format": 1}, "none"])
def test_a_record_that_cannot_be_read_is_removed_too(tmp_path: Path, handle: object) -> None:
    store, run_id = Store(tmp_path), TICKET.run_id
    store.write(run_id, "j1", {"ticket": handle})
    forget_run(store, run_id)
    assert not list(store.runs())
