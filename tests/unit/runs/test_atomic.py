# SPDX-License-Identifier: Apache-2.0
"""A file that is written is complete, or the old one stays; nothing else is left behind."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcube_remote.runs.atomic import write_atomically


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "record.json"


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("text", ["", "ä\n", "x" * 100_000])
def test_the_text_takes_the_place_of_the_old_one(file: Path, text: str, durable: bool) -> None:
    file.write_text("a longer text than the new one")
    write_atomically(file, text, durable=durable)
    assert file.read_text(encoding="utf-8") == text
    assert os.listdir(file.parent) == [file.name]


@pytest.mark.parametrize(("mode", "expected"), [(0o600, 0o600), (0o640, 0o640), (0o666, 0o640)])
def test_permissions_are_narrowed_by_the_umask(file: Path, mode: int, expected: int) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(file, "x", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == expected


def test_permissions_are_those_of_the_new_file(file: Path) -> None:
    file.write_text("old")
    file.chmod(0o644)
    write_atomically(file, "secret")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_link_is_replaced_and_not_followed(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("untouched")
    file.symlink_to(target)
    write_atomically(file, "new")
    assert (target.read_text(), file.read_text()) == ("untouched", "new")
    assert not file.is_symlink()


def _fail(*_args: object, **_more: object) -> None:
    raise OSError(28, "No space left on device")


def _interrupt(*_args: object, **_more: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["os.fsync", "pathlib.Path.replace"])
@pytest.mark.parametrize("failure", [_fail, _interrupt])
def test_a_write_that_fails_leaves_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, failure: Callable[..., None]
) -> None:
    file.write_text("old")
    monkeypatch.setattr(name, failure)
    with pytest.raises((OSError, KeyboardInterrupt)):
        write_atomically(file, "new", durable=True)
    assert file.read_text() == "old"
    assert os.listdir(file.parent) == [file.name]


def test_text_that_cannot_be_encoded_leaves_the_old_file(file: Path) -> None:
    file.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "\udcff")
    assert file.read_text() == "old"
    assert os.listdir(file.parent) == [file.name]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "file", "x")


def test_file_and_folder_are_on_the_disk_when_a_durable_write_returns(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[str] = []
    sync = os.fsync

    def watch(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        kinds.append("folder" if is_folder else f"file of {os.fstat(handle).st_size} B")
        sync(handle)

    monkeypatch.setattr(os, "fsync", watch)
    write_atomically(file, "four")
    assert kinds == []
    write_atomically(file, "four", durable=True)
    assert kinds == ["file of 4 B", "folder"]
