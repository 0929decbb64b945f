# SPDX-License-Identifier: Apache-2.0
"""An upload looks for holes only if a file that is sent has some."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlcube_remote.files import sparse_files
from mlcube_remote.files.link_copies import LinkCopies
from mlcube_remote.files.sparse_files import may_have_holes
from mlcube_remote.files.transfer import upload
from mlcube_remote.files.upload import UploadTree
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import RSYNC, FakeConnection

HOLE = 1024 * 1024


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    (tmp_path / "cube/data").mkdir(parents=True)
    (tmp_path / "cube/data/full").write_bytes(os.urandom(HOLE))
    return tmp_path / "cube"


def make_sparse(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(HOLE)
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [(None, False), ("data/sparse", True), ("sparse", True), ("a/b/c/sparse", True)],
)
def test_a_file_with_holes_is_found_anywhere(cube: Path, name: str | None, expected: bool) -> None:
    if name:
        make_sparse(cube / name)
    assert may_have_holes([cube]) is expected


def test_a_file_can_be_the_top(cube: Path) -> None:
    assert not may_have_holes([cube / "data/full"])
    assert may_have_holes([make_sparse(cube / "data/sparse")])


def test_the_top_can_be_a_link(cube: Path) -> None:
    make_sparse(cube / "data/sparse")
    (cube.parent / "link").symlink_to(cube)
    assert may_have_holes([cube.parent / "link"])


def test_links_are_not_followed(cube: Path) -> None:
    (cube / "data/link").symlink_to(make_sparse(cube.parent / "elsewhere/sparse"))
    (cube / "data/loop").symlink_to(cube)
    (cube / "data/nothing").symlink_to("nowhere")
    assert not may_have_holes([cube])


def test_more_files_than_can_be_looked_at_may_have_holes(
    cube: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse_files, "MAX_FILES", 10)
    for number in range(10):
        (cube / f"{number}").touch()
    assert may_have_holes([cube])


def test_a_tree_that_is_gone_has_none(tmp_path: Path) -> None:
    assert not may_have_holes([tmp_path / "gone"])


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
