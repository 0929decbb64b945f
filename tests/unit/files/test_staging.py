# SPDX-License-Identifier: Apache-2.0
"""What a host sent is checked before any of it is put in place."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcube_remote.errors import TransferError, UnsafeContentError
from mlcube_remote.files import staging
from mlcube_remote.files.staging import DeclaredOutput, check, merge

DECLARED = (
    DeclaredOutput(path="model", directory=True),
    DeclaredOutput(path="out/m.json", directory=False),
    DeclaredOutput(path="any", directory=None),
)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    (folder / "model/deep").mkdir(parents=True)
    (folder / "out").mkdir()
    (folder / "model/deep/w.bin").write_text("weights")
    (folder / "out/m.json").write_text("{}")
    (folder / "model/latest").symlink_to("deep/w.bin")
    (folder / "any").write_text("a file")
    return folder


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


def instead(path: Path, target: str | None) -> None:
    """Put a link (or a directory) where something else is."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    if target is None:
        path.mkdir()
    else:
        path.symlink_to(target)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a name nobody declared": (lambda r: (r / "mlcube.yaml").write_text(""), "was not declared"),
    "a name beside a file": (lambda r: (r / "out/other").write_text(""), "was not declared"),
    "a folder nobody declared": (lambda r: (r / ".ssh").mkdir(), "was not declared"),
    "a pipe": (lambda r: os.mkfifo(r / "model/pipe"), "neither a file nor a directory"),
    "a socket": (lambda r: make_socket(r / "model/s"), "neither a file nor a directory"),
    "an absolute link": (lambda r: (r / "model/l").symlink_to("/etc"), "leaves its output"),
    "a link upwards": (lambda r: (r / "model/l").symlink_to("../../x"), "leaves its output"),
    "a link to a neighbour": (lambda r: (r / "model/l").symlink_to("../out"), "leaves its output"),
    "a link for a file": (lambda r: instead(r / "out/m.json", "/etc/passwd"), "leaves its output"),
    "a link for the folder above": (lambda r: instead(r / "out", "/tmp"), "was not declared"),
    "a directory for a file": (
        lambda r: instead(r / "out/m.json", None),
        "is a directory, but was declared as a file",
    ),
}


def test_what_was_declared_passes(room: Path) -> None:
    check("h", room, DECLARED)


@pytest.mark.parametrize("what", HOSTILE)
def test_everything_else_is_refused_by_name(room: Path, what: str) -> None:
    prepare, expected = HOSTILE[what]
    prepare(room)
    with pytest.raises(UnsafeContentError) as caught:
        check("h", room, DECLARED)
    assert expected in str(caught.value)
    assert caught.value.exit_code == 118


def test_the_number_of_files_is_bounded(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "MAX_ENTRIES", 4)
    with pytest.raises(UnsafeContentError, match="more than 4 files"):
        check("h", room, DECLARED)


def test_merging_replaces_files_and_leaves_the_rest(room: Path, tmp_path: Path) -> None:
    target = tmp_path / "workspace"
    (target / "model/deep").mkdir(parents=True)
    (target / "model/deep/w.bin").write_text("old")
    (target / "model/mine.txt").write_text("mine")
    merge("h", room, target)
    assert (target / "model/deep/w.bin").read_text() == "weights"
    assert (target / "model/mine.txt").read_text() == "mine"
    assert os.readlink(target / "model/latest") == "deep/w.bin"
    assert (target / "out/m.json").read_text() == "{}"


def test_no_special_bits_survive(room: Path, tmp_path: Path) -> None:
    (room / "model/deep/w.bin").chmod(0o6755)
    merge("h", room, tmp_path / "workspace")
    assert (tmp_path / "workspace/model/deep/w.bin").stat().st_mode & 0o7777 == 0o755


def test_what_is_in_the_way_is_named(room: Path, tmp_path: Path) -> None:
    target = tmp_path / "workspace"
    (target / "out/m.json").mkdir(parents=True)
    with pytest.raises(TransferError, match=r"pull incomplete: .*m\.json"):
        merge("h", room, target)


def test_a_dangling_link_is_not_followed(room: Path, tmp_path: Path) -> None:
    target = tmp_path / "workspace"
    target.mkdir()
    (target / "model").symlink_to(tmp_path / "nowhere")
    with pytest.raises(TransferError):
        merge("h", room, target)
    assert not (tmp_path / "nowhere").exists()


def test_another_file_system_gets_a_copy_first(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def replace(source: str | Path, place: Path) -> None:
        if Path(source).is_relative_to(room):
            raise OSError(18, "Invalid cross-device link")
        real(source, place)

    monkeypatch.setattr(os, "replace", replace)
    merge("h", room, tmp_path / "workspace")
    assert (tmp_path / "workspace/model/deep/w.bin").read_text() == "weights"
    assert not list((tmp_path / "workspace").rglob(".mlcube-remote-*"))


def test_what_a_killed_rsync_left_is_pruned_and_what_is_wanted_stays(room: Path) -> None:
    useless = ("model.lock", "out/.m.json.Xy12Zz", ".any.AbCdEf", "old/deep/file")
    for name in useless:
        (room / name).parent.mkdir(parents=True, exist_ok=True)
        (room / name).write_text("x")
    half = room / "out" / staging.PARTIAL / "m.json"
    half.parent.mkdir()
    half.write_text("half")
    staging.prune(room, DECLARED)
    check("h", room, DECLARED)
    assert not any((room / name).exists() for name in useless)
    assert half.read_text() == "half"
    assert (room / "model/deep/w.bin").read_text() == "weights"


def test_rooms_of_one_run_are_discarded_unless_in_use(tmp_path: Path) -> None:
    def left(name: str) -> Path:
        with staging.staging_directory("h", tmp_path, name, lambda: None) as made:
            (made / "half").write_text("x")
        return made

    mine, other = left("run1-a"), left("run2-a")
    with staging.staging_directory("h", tmp_path, "run1-b", lambda: None) as used:
        (used / "half").write_text("x")
        staging.remove_staging(tmp_path, "run1-")
        assert (used / "half").exists()
    assert not mine.exists()
    assert other.exists()
    staging.remove_staging(tmp_path / "gone", "run1-")
