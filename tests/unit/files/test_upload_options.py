# SPDX-License-Identifier: Apache-2.0
"""An upload compares small files by content, and looks for holes only if a file has some."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlcube_remote.files import upload_options
from mlcube_remote.files.link_copies import LinkCopies
from mlcube_remote.files.transfer import upload
from mlcube_remote.files.upload import UploadTree
from mlcube_remote.files.upload_options import MAX_COMPARED_SIZE, choose_options
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import RSYNC, FakeConnection

HOLE = 1024 * 1024


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    (tmp_path / "cube/data").mkdir(parents=True)
    (tmp_path / "cube/data/full").write_bytes(os.urandom(HOLE))
    return tmp_path / "cube"


def make_sparse(path: Path, size: int = HOLE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


def has_holes(top: Path) -> bool:
    return "--sparse" in choose_options([top])


def are_compared(*tops: Path) -> bool:
    return "--checksum" in choose_options(tops)


@pytest.mark.parametrize(
    ("name", "expected"),
    [(None, False), ("data/sparse", True), ("sparse", True), ("a/b/c/sparse", True)],
)
def test_a_file_with_holes_is_found_anywhere(cube: Path, name: str | None, expected: bool) -> None:
    if name:
        make_sparse(cube / name)
    assert has_holes(cube) is expected


def test_a_file_can_be_the_top(cube: Path) -> None:
    assert not has_holes(cube / "data/full")
    assert has_holes(make_sparse(cube / "data/sparse"))


def test_the_top_can_be_a_link(cube: Path) -> None:
    make_sparse(cube / "data/sparse")
    (cube.parent / "link").symlink_to(cube)
    assert has_holes(cube.parent / "link")


def test_links_are_not_followed(cube: Path) -> None:
    (cube / "data/link").symlink_to(make_sparse(cube.parent / "elsewhere/sparse"))
    (cube / "data/loop").symlink_to(cube)
    (cube / "data/nothing").symlink_to("nowhere")
    assert not has_holes(cube)


@pytest.mark.parametrize(
    ("limit", "options"),
    [("MAX_FILES", ("--checksum", "--sparse")), ("MAX_COMPARED", ())],
    ids=["they may have holes", "they are compared by their times"],
)
def test_there_may_be_too_many_files_to_look_at(
    cube: Path, monkeypatch: pytest.MonkeyPatch, limit: str, options: tuple[str, ...]
) -> None:
    monkeypatch.setattr(upload_options, limit, 10)
    for number in range(10):
        (cube / f"{number}").touch()
    assert choose_options([cube]) == options


def test_a_tree_that_is_gone_has_none(tmp_path: Path) -> None:
    assert not has_holes(tmp_path / "gone")


def test_small_files_are_compared_by_content(cube: Path, tmp_path: Path) -> None:
    assert are_compared(cube)
    assert are_compared(cube / "data/full")
    assert are_compared(tmp_path / "gone")


def test_large_files_are_compared_by_their_times(cube: Path) -> None:
    make_sparse(cube / "large", size=MAX_COMPARED_SIZE)
    assert not are_compared(cube)
    assert not are_compared(cube / "data", cube / "large")


def test_what_is_never_sent_does_not_count(cube: Path) -> None:
    make_sparse(cube / ".git/objects/pack", size=MAX_COMPARED_SIZE)
    assert choose_options([cube]) == ("--checksum",)


@pytest.mark.parametrize(
    ("rules", "options"),
    [
        (("- /results/",), ("--checksum",)),
        (("P /**", "- /other/", "- /results/"), ("--checksum",)),
        (("- /results/run/", "- /one"), ("--checksum",)),
        (("- /results/run/model",), ("--checksum",)),
        (("- /results/run/model/",), ("--sparse",)),
        (("+ /results/", "- /results/"), ("--sparse",)),
        (("- /result[s]/",), ("--sparse",)),
        ((), ("--sparse",)),
    ],
)
def test_outputs_that_are_excluded_do_not_count(
    cube: Path, rules: tuple[str, ...], options: tuple[str, ...]
) -> None:
    make_sparse(cube / "results/run/model", size=MAX_COMPARED_SIZE)
    tree = UploadTree(local=cube, remote="/mirror", rules=rules)
    assert choose_options([cube], tree.excluded) == options


@pytest.mark.parametrize("place", ["nowhere", "in the cube", "behind a link"])
def test_an_upload_has_the_option_if_it_is_needed(cube: Path, place: str) -> None:
    other = cube.parent / "other"
    other.mkdir()
    copies = LinkCopies(top=cube, links={"there": str(other)}, followed={"there": other})
    if place != "nowhere":
        make_sparse((cube if place == "in the cube" else other) / "sparse")
    host = FakeConnection()
    host.answer(RSYNC, Reply(0, b"", b""))
    upload(host, UploadTree(local=cube, remote="/there", copies=copies))
    assert ["--sparse" in call.args for call in host.calls] == [place != "nowhere"] * 2
