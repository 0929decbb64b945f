# SPDX-License-Identifier: Apache-2.0
"""What a host reports about outputs is read back, whatever it says."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from mlcube_remote.errors import StateUnknownError, UnsafeContentError
from mlcube_remote.events.documents import job_document
from mlcube_remote.events.exit_codes import exit_code
from mlcube_remote.events.outcome import JobOutcome, PulledOutput, Status
from mlcube_remote.events.output_content import OutputContent
from mlcube_remote.events.output_state import OutputChange, OutputState
from mlcube_remote.files.download import download
from mlcube_remote.jobs import output_states
from mlcube_remote.jobs.handle import JobHandle, from_document, from_host, to_document
from mlcube_remote.jobs.output_states import (
    ask_for_changes,
    fetch_names,
    output_words,
    parse_changes,
)
from mlcube_remote.jobs.state import derive_outcome, read_task
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import FakeConnection
from tests.support.fake_jobs import records
from tests.support.handles import TICKET
from tests.support.outcomes import succeeded

MADE, UPDATED, UNCHANGED = OutputState
WORKSPACE = TICKET.folders[0].remote
TWICE = attrs.evolve(TICKET, tasks=TICKET.tasks * 2)


@pytest.mark.parametrize(
    ("handle", "words"),
    [
        (TICKET, ("", "1", f"{WORKSPACE}/model/a b", "1", "/data/log", "1", "/abs/x")),
        (attrs.evolve(TICKET, folders=(), in_place=()), ()),
        (attrs.evolve(TICKET, folders=(), fresh_outputs=True), ("fresh", "1", "/abs/x")),
        (
            attrs.evolve(TICKET, folders=(), in_place=(), on_host=TICKET.in_place),
            ("", "1", "/abs/x"),
        ),
        (attrs.evolve(TWICE, folders=()), ("", "1", "/abs/x", "2", "/abs/x")),
    ],
)
def test_the_host_gets_the_tasks_and_paths_of_the_outputs(
    handle: JobHandle, words: tuple[str, ...]
) -> None:
    assert output_words(handle) == words


def test_the_workspace_itself_is_a_path_without_a_dot() -> None:
    folder = attrs.evolve(
        TICKET.folders[0], outputs=(attrs.evolve(TICKET.folders[0].outputs[0], path="."),)
    )
    assert output_words(attrs.evolve(TICKET, folders=(folder,), in_place=()))[-1] == WORKSPACE


def test_the_option_survives_a_record_and_older_ones_lack_it() -> None:
    handle = attrs.evolve(TICKET, fresh_outputs=True, on_host=TICKET.in_place)
    assert from_document(to_document(handle)) == handle
    older = to_document(handle)
    del older["fresh_outputs"], older["on_host"]
    assert from_document(older) == TICKET


def change(state: OutputState, *names: str) -> OutputChange:
    return OutputChange(state=state, names=names or None)


CASES = {
    "nothing": ({}, None),
    "no state": ({"outputs": "known"}, {}),
    "each state": (
        {"output.1": "made", "output.2": "unchanged", "output.3": "updated"},
        {"model": change(MADE), "log": change(UNCHANGED), "x": change(UPDATED)},
    ),
    "not known": ({"output.1": "unknown", "output.2": "absent", "output.3": "later word"}, {}),
    "names": (
        {"output.1": "updated", "changed.1": "./a\n./-b\x0bc\n./d/\u2028\n./."},
        {"model": change(UPDATED, "a", "-b\x0bc", "d/\u2028", ".")},
    ),
    "only deleted entries": (
        {"output.1": "updated", "changed.1": ""},
        {"model": OutputChange(state=UPDATED, names=())},
    ),
    "an impossible list": (
        {"output.1": "updated", "listed.1": "9" * 30, "output.2": "updated", "listed.2": "-5"},
        {"model": change(UPDATED), "log": change(UPDATED)},
    ),
    "a long list": (
        {"output.1": "updated", "listed.1": "70000"},
        {"model": OutputChange(state=UPDATED, list_size=70_000)},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_report_is_read(case: str) -> None:
    facts, expected = CASES[case]
    facts = {"outputs": "known", **facts} if facts else {}
    assert parse_changes(TICKET, 1, facts) == expected
    connection = FakeConnection("gpu")
    connection.answer("mlcr_report_outputs", Reply(0, records(facts), b""))
    assert ask_for_changes(connection, TICKET, 1) == (expected or {})


def test_a_report_that_makes_no_sense_leaves_the_state_unknown() -> None:
    connection = FakeConnection("gpu")
    facts = {"outputs": "known", "output.1": "updated", "listed.1": "many"}
    connection.answer("mlcr_report_outputs", Reply(0, records(facts), b""))
    with pytest.raises(StateUnknownError, match="outputs"):
        ask_for_changes(connection, TICKET, 1)


def test_a_handle_of_another_machine_knows_the_same_outputs(tmp_path: Path) -> None:
    other = from_host(json.dumps(to_document(TICKET)), tmp_path)
    facts = {"outputs": "known", "output.2": "made", "output.3": "made"}
    assert parse_changes(other, 1, facts) == {"log": change(MADE)}


@pytest.mark.parametrize("data", [b"./a\n./b\xff\n" * 100, b""])
def test_a_long_list_is_fetched(data: bytes) -> None:
    connection = FakeConnection("gpu")
    connection.answer(
        "mlcr_print_bytes", lambda _, offset: Reply(0, data[int(offset) : int(offset) + 512], b"")
    )
    output = TICKET.folders[1].outputs[0]
    known = OutputChange(state=UPDATED, list_size=len(data) or 5)
    fetched = fetch_names(connection, TICKET, output, known)
    assert fetched.list_size == 0
    assert fetched.names == (("a", "b\udcff") * 100 if data else None)
    assert connection.calls[0].args[0] == f"{TICKET.task_dir(1)}/changed.2"


def test_a_stale_output_is_a_failure_of_its_own() -> None:
    facts = {"exit": 119, "alive": "yes", "stdout": 0, "stderr": 0, "stale": "yes"}
    facts |= {"outputs": "known", "output.1": "made", "output.2": "unchanged"}
    connection = FakeConnection("gpu")
    connection.answer("mlcr_report_task", Reply(0, records(facts), b""))
    report = read_task(connection, TICKET, 1)
    task = derive_outcome(TICKET, TICKET.tasks[0], report)
    assert (task.status, task.exit_code, task.is_stale) == (Status.FAILED, 0, True)
    assert task.reason == "exited 0 and left its output log unchanged (--fresh-outputs)"
    job = JobOutcome(host="a", platform="docker", status=Status.FAILED, tasks=(task,), seconds={})
    assert exit_code([job]) == 119
    assert exit_code([job, succeeded("b")]) == 119
    # A program may end with the same code.
    own = attrs.evolve(report, is_stale=False, inspect="exited 119 false")
    assert derive_outcome(TICKET, TICKET.tasks[0], own).exit_code == 119


@pytest.mark.parametrize(
    ("state", "metrics"), [(MADE, {"a": 1}), (UPDATED, {"a": 1}), (None, {"a": 1}), (UNCHANGED, {})]
)
def test_numbers_of_an_earlier_run_are_not_of_this_one(
    state: OutputState | None, metrics: dict[str, int]
) -> None:
    content = OutputContent(files=1, size=8, sha256="", metrics={"a": 1})
    output = PulledOutput(task="t", name="o", path=Path("/x"), state=state, content=content)
    (document,) = job_document(succeeded(outputs=(output,)))["outputs"]
    assert document["metrics"] == metrics
    assert document["state"] == (None if state is None else state.value)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a/.."])
def test_a_host_cannot_list_what_is_not_in_the_output(name: str, tmp_path: Path) -> None:
    item = DownloadRequest(task="t", name="o", path="o", directory=True)
    folder = DownloadFolder(remote="/r", target=tmp_path / "here", basis=None, outputs=(item,))
    connection = FakeConnection("gpu")
    changes = {item: OutputChange(state=UPDATED, names=(name,))}
    with pytest.raises(UnsafeContentError, match="is listed as a part of 'o'"):
        download(connection, folder, run="r", changes=changes)
    assert connection.calls == []


def test_a_list_without_end_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_states, "_MAX_LIST", 10_000)
    connection = FakeConnection("gpu")
    connection.answer("mlcr_print_bytes", Reply(0, b"./a\n" * 500, b""))
    known = OutputChange(state=UPDATED, list_size=10**17)
    fetched = fetch_names(connection, TICKET, TICKET.folders[1].outputs[0], known)
    assert (fetched.names, fetched.list_size) == (None, 0)
    assert len(connection.calls) < 10
