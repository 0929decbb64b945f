# SPDX-License-Identifier: Apache-2.0
"""Tickets survive JSON, and what a host sends never names a path of this machine."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.jobs.handle import (
    HandleError,
    from_document,
    from_host,
    to_document,
)
from tests.support.handles import TICKET


def test_a_ticket_survives_json() -> None:
    assert from_document(json.loads(json.dumps(to_document(TICKET)))) == TICKET


def test_a_ticket_of_before_sweeps_is_of_a_host_s_only_job() -> None:
    document = to_document(TICKET)
    del document["job"], document["parameters"]
    handle = from_document(document)
    assert (handle.name, handle.parameters) == ("gpu", {})
    assert TICKET.name == "07"


def test_paths_on_the_host_hang_on_its_root() -> None:
    assert TICKET.task_dir(2) == f"/home/ada/.mlcube-remote/jobs/{TICKET.job_id}/tasks/2"


def test_what_a_host_sends_goes_below_the_results_and_nowhere_else(tmp_path: Path) -> None:
    handle = from_host(json.dumps(to_document(TICKET)), tmp_path)
    assert [folder.target for folder in handle.folders] == [tmp_path, tmp_path / "more-1"]
    assert all(folder.basis is None for folder in handle.folders)
    assert handle.in_place == ()


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(json.loads(json.dumps(to_document(TICKET))))
    at: Any = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("folders", 0, "outputs", 0, "path"), "../../.ssh/authorized_keys"),
        (("folders", 0, "outputs", 0, "path"), "a/../../b"),
        (("folders", 0, "outputs", 0, "path"), "/etc/passwd"),
        (("folders", 0, "outputs", 0, "path"), ".."),
        (("folders", 0, "outputs", 0, "directory"), "yes"),
        (("folders", 0, "remote"), 3),
        (("folders",), "x"),
        (("job_id",), "../../elsewhere"),
        (("job_id",), ".."),
        (("root",), "relative"),
        (("tasks", 0, "engine"), None),
        (("tasks", 0, "task"), "a\0b"),
        (("timeout",), "soon"),
        (("job",), "../../x"),
        (("job",), ".."),
        (("parameters",), ["lr"]),
        (("parameters",), {"lr": 0.1}),
        (("format",), 99),
        (("format",), "1"),
    ],
)
def test_a_ticket_that_leads_astray_is_refused(path: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(HandleError):
        from_host(json.dumps(changed(path, value)), Path("/results"))


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "{", "[" * 100_000, '"' * 2_000_000])
def test_what_is_no_ticket_is_refused(text: str) -> None:
    with pytest.raises(HandleError):
        from_host(text, Path("/results"))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_value_in_any_place_is_read_or_refused(value: Any) -> None:
    for key in to_document(TICKET):
        try:
            handle = from_host(json.dumps(changed((key,), value)), Path("/results"))
        except HandleError:
            continue
        assert all(folder.target.is_relative_to("/results") for folder in handle.folders)
