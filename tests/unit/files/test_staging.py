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
from mlcube_remote.files import received, staging
from mlcube_remote.files.merge import merge
from mlcube_remote.files.received import ContainerMount, check_received
from mlcube_remote.files.staging import DeclaredOutput

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


def fill_directory_for_a_file(room: Path) -> None:
    instead(room / "out/m.json", None)
    (room / "out/m.json/x").write_text("")


def file_for_a_directory(room: Path) -> None:
    shutil.rmtree(room / "model")
    (room / "model").write_text("")


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


HOSTILE: dict[str, Callable[[Path], object]] = {
    "a name that was not declared": lambda r: (r / "mlcube.yaml").write_text(""),
    "a name beside a file": lambda r: (r / "out/other").write_text(""),
    "a directory that was not declared": lambda r: (r / ".ssh").mkdir(),
    "a link for the directory above": lambda r: instead(r / "out", "/tmp"),
    "a link beside a file": lambda r: (r / "out/l").symlink_to("m.json"),
}

ODD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a pipe": (lambda r: os.mkfifo(r / "model/p"), "model/p", "is neither a file nor a directory"),
    "a socket": (lambda r: make_socket(r / "model/s"), "model/s", "is neither a file nor"),
    "an absolute link": (
        lambda r: (r / "model/l").symlink_to("/etc"),
        "model/l",
        "'/etc', outside",
    ),
    "a link upwards": (lambda r: (r / "model/l").symlink_to("../../x"), "model/l", "outside its"),
    "a link to a neighbour": (lambda r: (r / "model/l").symlink_to("../out"), "model/l", "outside"),
    "a link through a name": (
        lambda r: (r / "model/l").symlink_to("latest/../deep"),
        "model/l",
        "outside its output",
    ),
    "a link for a file": (
        lambda r: instead(r / "out/m.json", "/etc/passwd"),
        "out/m.json",
        "is a link to '/etc/passwd'",
    ),
    "a directory for a file": (
        lambda r: instead(r / "out/m.json", None),
        "out/m.json",
        "is a directory, but was declared as a file",
    ),
    "a full directory for a file": (
        fill_directory_for_a_file,
        "out/m.json",
        "is a directory, but was declared as a file",
    ),
    "a file for a directory": (
        file_for_a_directory,
        "model",
        "is a file, but was declared as a directory",
    ),
}


def test_what_was_declared_passes(room: Path) -> None:
    check_received("h", room, DECLARED)


def test_links_may_lead_anywhere_inside_their_output(room: Path) -> None:
    (room / "model/deep/up").symlink_to("../latest")
    (room / "model/deep/same").symlink_to("./w.bin")
    (room / "any").unlink()
    (room / "any").mkdir()
    (room / "any/l").symlink_to("../any/x")
    check_received("h", room, DECLARED)


def test_an_output_that_is_the_whole_workspace_may_contain_links(room: Path) -> None:
    check_received("h", room, [DeclaredOutput(path=".", directory=True)])


@pytest.mark.parametrize("what", HOSTILE)
def test_names_that_were_not_requested_are_refused(room: Path, what: str) -> None:
    HOSTILE[what](room)
    with pytest.raises(UnsafeContentError, match="was not declared") as caught:
        check_received("h", room, DECLARED)
    assert caught.value.exit_code == 118


@pytest.mark.parametrize("what", ODD)
def test_an_odd_entry_is_omitted_and_the_rest_is_kept(room: Path, what: str) -> None:
    prepare, path, reason = ODD[what]
    before = {each for each in room.rglob("*") if not each.is_relative_to(room / path)}
    prepare(room)
    (omitted,) = check_received("h", room, DECLARED)
    assert omitted.path == path
    assert reason in omitted.reason
    assert not os.path.lexists(room / path)
    assert {*room.rglob("*")} == before
    assert not check_received("h", room, DECLARED)


MOUNTS = (ContainerMount("model", "/mlcube_io1"), ContainerMount("out", "/mlcube_io2"))


@pytest.mark.parametrize(
    ("place", "target", "rewritten"),
    [
        ("model/l", "/mlcube_io1/deep/w.bin", "deep/w.bin"),
        ("model/deep/l", "/mlcube_io1/latest", "../latest"),
        ("model/deep/l", "/mlcube_io1/", ".."),
        ("model/deep/l", "//mlcube_io1//deep/./w.bin", "w.bin"),
        ("model/l", "/mlcube_io2/m.json", None),
        ("model/l", "/mlcube_io1/../etc", None),
        ("model/l", "/mlcube_io10/x", None),
        ("model/l", "/usr/share/zoneinfo/UTC", None),
    ],
)
def test_links_to_paths_of_the_container_lead_to_the_same_file(
    room: Path, place: str, target: str, rewritten: str | None
) -> None:
    (room / place).symlink_to(target)
    omitted = check_received("h", room, DECLARED, MOUNTS)
    assert [each.path for each in omitted] == ([] if rewritten else [place])
    if rewritten:
        assert os.readlink(room / place) == rewritten


def test_the_number_of_files_is_bounded(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received, "MAX_ENTRIES", 4)
    with pytest.raises(UnsafeContentError, match="more than 4 files"):
        check_received("h", room, DECLARED)


def test_the_depth_of_directories_is_bounded_and_deep_trees_are_removed(room: Path) -> None:
    here = Path.cwd()
    os.chdir(room / "model")
    for _ in range(1_500):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)
    staging.prune(room, [each.path for each in DECLARED])
    with pytest.raises(UnsafeContentError, match="more than 200 nested directories"):
        check_received("h", room, DECLARED)
    staging.empty(room)
    assert not list(room.iterdir())


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

    def replace(source: str, place: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if not source.startswith(".mlcube-remote-"):
            raise OSError(18, "Invalid cross-device link")
        real(source, place, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "replace", replace)
    target = tmp_path / "workspace"
    merge("h", room, target)
    assert (target / "model/deep/w.bin").read_text() == "weights"
    assert os.readlink(target / "model/latest") == "deep/w.bin"
    assert not list(target.rglob(".mlcube-remote-*"))


def test_a_link_below_the_target_is_not_followed(room: Path, tmp_path: Path) -> None:
    """A cube may ship it, or a host may have sent it with an earlier pull."""
    target, elsewhere = tmp_path / "workspace", tmp_path / "elsewhere"
    target.mkdir()
    elsewhere.mkdir()
    (target / "model").symlink_to(elsewhere)
    with pytest.raises(TransferError, match="model is a link") as caught:
        merge("h", room, target)
    assert f"--workspace={elsewhere}" in str(caught.value.hint)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("link", ["workspace", "results"])
def test_a_link_below_the_anchor_is_not_followed(room: Path, tmp_path: Path, link: str) -> None:
    """A cube may ship ``workspace`` or ``results`` as a link."""
    cube, elsewhere = tmp_path / "cube", tmp_path / "elsewhere"
    cube.mkdir()
    elsewhere.mkdir()
    (cube / link).symlink_to(elsewhere)
    target = cube / link / "run/host"
    with pytest.raises(TransferError, match=f"{link} is a link"):
        merge("h", room, target, anchor=cube)
    with (
        pytest.raises(TransferError, match=f"{link} is a link"),
        staging.staging_directory("h", target, "run-1", lambda: None, cube),
    ):
        pytest.fail("the staging directory must not be created behind a link")
    assert not list(elsewhere.iterdir())


def test_links_above_the_anchor_are_the_users(room: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    cube = tmp_path / "home/cube"
    merge("h", room, cube / "workspace", anchor=cube)
    assert (tmp_path / "disk/cube/workspace/out/m.json").read_text() == "{}"


def test_two_pulls_of_a_hostile_host_write_nothing_outside(room: Path, tmp_path: Path) -> None:
    """First a link through another link, whose text stays inside; then a directory of its name."""
    target = tmp_path / "a/b/workspace"
    (room / "model/deep/x").mkdir()
    (room / "model/inner").symlink_to("deep/x")
    (room / "model/out").symlink_to("inner/../../..")
    assert [each.path for each in check_received("h", room, DECLARED)] == ["model/out"]
    (target / "model").mkdir(parents=True)
    (target / "model/deep").symlink_to(tmp_path)
    with pytest.raises(TransferError, match="deep is a link"):
        merge("h", room, target)
    assert not (tmp_path / "w.bin").exists()


def test_what_a_killed_rsync_left_is_pruned_and_what_is_needed_stays(room: Path) -> None:
    useless = ("model.lock", "out/.m.json.Xy12Zz", ".any.AbCdEf", "old/deep/file")
    for name in useless:
        (room / name).parent.mkdir(parents=True, exist_ok=True)
        (room / name).write_text("x")
    half = room / "out" / staging.PARTIAL / "m.json"
    half.parent.mkdir()
    half.write_text("half")
    staging.prune(room, [each.path for each in DECLARED])
    check_received("h", room, DECLARED)
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
