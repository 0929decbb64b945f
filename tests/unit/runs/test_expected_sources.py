# SPDX-License-Identifier: Apache-2.0
"""Whether a job is made from the same cube, inputs and image as its record says."""

from __future__ import annotations

from typing import Any

import pytest

from mlcube_remote.runs.expected_sources import (
    ExpectedSources,
    Source,
    changes_hint,
    changes_text,
    unrecorded,
)
from mlcube_remote.runs.manifests import ListedFile, Manifests, digest_of

FILES = [ListedFile(b"a.py", 1, "1" * 64), ListedFile(b"b.py", 1, "2" * 64)]
CHANGED = [FILES[0], ListedFile(b"b.py", 1, "3" * 64)]


def data(**changes: Any) -> dict[str, Any]:
    item = {"task": "train", "name": "data", "where": "workspace", "path": "/w/data", "size": 3}
    return {**item, "sha256": "5" * 64, "modified": None, **changes}


def provenance(**changes: Any) -> dict[str, Any]:
    return {
        "cube": {"sha256": digest_of(FILES), "git": {"commit": "c" * 40}, "problem": None},
        "inputs": [data()],
        "image": {"name": "x:1", "id": "6" * 64, "digests": ["x@sha256:7"], "sha256": None},
        **changes,
    }


def image(**changes: Any) -> dict[str, Any]:
    return {"image": {"name": "x:1", "id": None, "digests": [], "sha256": None, **changes}}


def changes(now: dict[str, Any], before: dict[str, Any] | None = None) -> list[str]:
    expected = ExpectedSources(recorded={"gpu01": before or provenance()})
    return [str(change) for change in expected.changes("gpu01", now)]


def test_the_same_sources_have_no_change() -> None:
    assert changes(provenance()) == []


def test_changed_files_of_the_cube_are_named_with_the_commit() -> None:
    for files in (FILES, CHANGED):
        Manifests().write(digest_of(files), files)
    now = provenance(cube={"sha256": digest_of(CHANGED), "problem": None})
    assert changes(now) == ["cube: changed: b.py; it was commit cccccccccccc"]


def test_an_input_in_the_cube_is_not_reported_as_the_cube_too() -> None:
    files = [FILES[0], ListedFile(b"data/x", 1, "2" * 64)]
    changed = [FILES[0], ListedFile(b"data/x", 1, "3" * 64)]
    more = [ListedFile(b"a.py", 1, "4" * 64), changed[1]]
    for each in (files, changed, more):
        Manifests().write(digest_of(each), each)
    before = provenance(cube={"sha256": digest_of(files)})
    expected = ExpectedSources(recorded={"gpu01": before}, root="/w")

    def reported(cube: list[ListedFile]) -> list[str]:
        now = provenance(cube={"sha256": digest_of(cube)}, inputs=[data(sha256="8" * 64)])
        return [str(change) for change in expected.changes("gpu01", now)]

    about = "input train.data: /w/data: it was 555555555555, it is 888888888888"
    assert reported(changed) == [about]
    assert reported(more) == ["cube: changed: a.py", about]


def test_a_cube_that_cannot_be_read_is_not_the_same() -> None:
    now = provenance(cube={"sha256": None, "problem": "no rsync"})
    assert changes(now) == ["cube: it cannot be read: no rsync"]


@pytest.mark.parametrize(
    ("now", "how"),
    [
        ([data(sha256="8" * 64)], "/w/data: it was 555555555555, it is 888888888888"),
        ([data(sha256=None)], "/w/data: it cannot be read now"),
        ([], "/w/data: it cannot be read now"),
    ],
)
def test_a_changed_input_is_named(now: list[dict[str, Any]], how: str) -> None:
    assert changes(provenance(inputs=now)) == [f"input train.data: {how}"]


def test_data_used_in_place_is_compared_by_size_and_time() -> None:
    before = provenance(inputs=[data(where="host", sha256=None, modified=100)])
    assert changes(before, before) == []
    later = provenance(inputs=[data(where="host", sha256=None, modified=200)])
    assert changes(later, before) == [
        "input train.data: /w/data: it was 3 B, changed at 100, it is 3 B, changed at 200"
    ]


def test_inputs_that_an_earlier_task_makes_are_not_compared() -> None:
    before = provenance(inputs=[data(where="task", sha256=None)])
    assert changes(provenance(inputs=[data(where="task", sha256="1" * 64)]), before) == []


@pytest.mark.parametrize(
    "now",
    [
        image(id="6" * 64),
        image(id="9" * 64, digests=["y@sha256:1", "x@sha256:7"]),
    ],
)
def test_an_image_is_the_same_by_its_id_or_a_digest_of_a_registry(now: dict[str, Any]) -> None:
    assert changes(provenance(**now)) == []


@pytest.mark.parametrize(
    ("now", "what"),
    [
        (image(id="9" * 64), "999999999999"),
        (image(), "one without a digest"),
        (image(sha256="6" * 64), "666666666666"),
    ],
)
def test_another_image_is_named(now: dict[str, Any], what: str) -> None:
    assert changes(provenance(**now)) == [f"image: x:1: it was 666666666666, the host has {what}"]


def test_sections_that_are_not_known_yet_are_not_compared() -> None:
    now = provenance()
    del now["image"]
    assert changes(now) == []


def test_what_was_not_recorded_is_named_and_not_compared() -> None:
    before = provenance(cube={"sha256": None}, inputs=[data(sha256=None)], **image())
    assert unrecorded(before) == ("cube", "input train.data", "image")
    assert changes(provenance(), before) == []
    assert unrecorded(provenance()) == ()
    assert ExpectedSources(recorded={}).changes("gpu01", provenance()) == ()


def test_only_changes_that_are_not_allowed_are_refused() -> None:
    expected = ExpectedSources(recorded={"gpu01": provenance()}, allowed=frozenset({Source.IMAGE}))
    found = expected.changes("gpu01", provenance(inputs=[], **image(id="9" * 64)))
    refused = expected.refused(found)
    assert changes_text(refused) == "\n  input train.data: /w/data: it cannot be read now"
    assert changes_hint(refused).endswith("compare the outputs anyway: --allow-changed=input")
