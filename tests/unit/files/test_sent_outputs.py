# SPDX-License-Identifier: Apache-2.0
"""Small outputs that a host sent are used only if they are complete, and what was wanted."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.errors import UnsafeContentError
from mlcube_remote.files.rsync import TransferStats
from mlcube_remote.files.sent_outputs import MAX_BYTES, MAX_ENTRIES, parse_sent, write_sent
from tests.support.sent import send_folder

FILES = {"./out": None, "./out/a\n": b"one\n", "./out/sub": None, "./out/sub/ü": b"\0binary\0"}


def test_what_was_sent_is_written_with_its_times_and_modes(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        stats = write_sent("gpu", parse_sent(send_folder(1, FILES))[1], ["out"], tmp_path)
    finally:
        os.umask(umask)
    assert stats == TransferStats(2, 12)
    assert (tmp_path / "out/a\n").read_bytes() == b"one\n"
    about = (tmp_path / "out/sub/ü").stat()
    assert about.st_mtime_ns == 1700000000_123456789
    assert stat.S_IMODE(about.st_mode) == 0o750


def test_each_folder_is_found_by_its_number() -> None:
    found = parse_sent(send_folder(1, {}) + send_folder(3, {"./x": b"1"}))
    assert found[1] == ()
    assert [entry.path for entry in found[3]] == ["./x"]


@given(st.integers(0, 400), st.binary(max_size=3))
def test_damage_is_noticed(at: int, piece: bytes) -> None:
    whole = send_folder(1, {"./out/a": b"one" * 30})
    damaged = whole[:at] + piece + whole[at + len(piece) + 1 :]
    for entries in parse_sent(damaged).values():
        # Only names, times and modes have no checksum.
        assert [entry.content for entry in entries] == [b"one" * 30]


@pytest.mark.parametrize(
    "files",
    [
        {f"./out/{number}": b"" for number in range(MAX_ENTRIES + 1)},
        {"./out": b"x" * (MAX_BYTES + 1)},
    ],
    ids=["many", "large"],
)
def test_more_than_agreed_is_not_used(files: dict[str, bytes | None]) -> None:
    assert parse_sent(send_folder(1, files)) == {}


@pytest.mark.parametrize(
    "path", ["../x", "./out/../../x", "/tmp/x", "//x", "./" + "d/" * 300 + "x"]
)
def test_a_path_that_leads_out_is_refused(path: str, tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    with pytest.raises(UnsafeContentError):
        write_sent("gpu", parse_sent(send_folder(1, {path: b"evil"}))[1], ["."], room)
    assert list(tmp_path.rglob("*")) == [room]


@pytest.mark.parametrize(
    "files",
    [
        {"./out": b"x", "./out/a": b"y"},
        {"./out/a": None, "./out/a/": b"y"},
        {"./out/a": b"x", "./out/./a": b"y"},
        {"./other": b"x"},
        {"./outer": b"x"},
        {".": b"x"},
    ],
    ids=["a file as directory", "a directory as file", "twice", "not wanted", "similar", "all"],
)
def test_what_does_not_fit_is_pulled_instead(
    files: dict[str, bytes | None], tmp_path: Path
) -> None:
    assert write_sent("gpu", parse_sent(send_folder(1, files))[1], ["out"], tmp_path) is None
