# SPDX-License-Identifier: Apache-2.0
"""Image files are built once, completely or not at all, and again if their recipe changes."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import attrs
import pytest

from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import Call, Completed
from tests.support.sif_cube import DEFINITION, Cube, cube
from tests.support.waiting import wait_for

__all__ = ["cube"]


def test_an_image_is_built_once(cube: Cube) -> None:
    assert cube.state() == "-"
    done = cube.build()
    assert done.returncode == 0, done.stderr
    assert cube.image.read_text() == "first half of cube.def, second half\n"
    assert cube.log.read_text().startswith("build --fakeroot ")
    assert cube.left() == {cube.image.name, f".{cube.image.name}.recipe"}
    assert cube.state() == "f"
    again = cube.build()
    assert (again.returncode, cube.builds()) == (0, 1)
    assert b"the image exists" in again.stderr


CHANGES = {
    "the definition file": lambda root: (root / "cube.def").write_text(DEFINITION + "#\n"),
    "a file that it takes in": lambda root: (root / "project/main.py").write_text("two"),
    "another file below": lambda root: (root / "project/new.py").write_text(""),
    "the image it starts from": lambda root: (root / "base.sif").write_text("another"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_image_is_rebuilt_if_its_recipe_changed(cube: Cube, what: str) -> None:
    cube.build()
    CHANGES[what](cube.root)
    assert cube.state() == "stale"
    assert cube.build().returncode == 0
    assert (cube.state(), cube.builds()) == ("f", 2)


def test_other_arguments_or_another_source_make_an_image_stale(cube: Cube) -> None:
    cube.build()
    assert attrs.evolve(cube, arguments=("--fakeroot", "--nv")).state() == "stale"
    assert attrs.evolve(cube, source="docker://debian").state() == "stale"
    assert cube.state() == "f"


def test_files_in_the_workspace_are_not_part_of_the_recipe(cube: Cube) -> None:
    cube.build()
    (cube.root / "workspace/output.txt").write_text("made")
    assert cube.state() == "f"


@pytest.mark.parametrize("source", ["docker-archive:image.tar", "image.tar"])
def test_a_replaced_archive_makes_an_image_stale(cube: Cube, source: str) -> None:
    archive = cube.root / "image.tar"
    archive.write_bytes(b"x" * 2_000_000)
    fromarchive = attrs.evolve(cube, source=source)
    assert fromarchive.build().returncode == 0
    assert fromarchive.state() == "f"
    os.utime(archive, (1, 1))
    assert fromarchive.state() == "stale"


def test_an_image_without_a_stamp_is_not_replaced(cube: Cube) -> None:
    cube.image.parent.mkdir()
    cube.image.write_text("mine")
    assert cube.state() == "f"
    assert cube.build().returncode == 0
    assert (cube.image.read_text(), cube.builds()) == ("mine", 0)


def test_without_a_recipe_an_image_is_never_stale(cube: Cube) -> None:
    cube.build()
    bare = attrs.evolve(cube, source="", arguments=())
    assert bare.state() == "f"
    cube.image.unlink()
    assert bare.state() == "-"


def test_a_failed_build_keeps_the_old_image(cube: Cube) -> None:
    cube.build()
    before = cube.image.read_bytes()
    (cube.root / "cube.def").write_text("another")
    fail = cube.log.with_name("engine.log.fail")
    fail.touch()
    done = cube.build()
    assert (done.returncode, done.stderr) == (255, b"FATAL: no good\n")
    assert cube.image.read_bytes() == before
    assert cube.left() == {cube.image.name, f".{cube.image.name}.recipe"}
    fail.unlink()
    assert cube.build().returncode == 0
    assert cube.state() == "f"


def test_a_build_is_not_written_through_planted_links(cube: Cube) -> None:
    """A task can write to the directory of the image."""
    victim, directory = cube.root.parent / "victim", cube.root.parent / "directory"
    victim.write_text("mine")
    directory.mkdir()
    cube.image.parent.mkdir(parents=True)
    stamp = cube.image.with_name(f".{cube.image.name}.recipe")
    for name in (stamp.name, f"{stamp.name}.new", f".{cube.image.name}.new"):
        for target in (victim, directory):
            cube.image.with_name(name).unlink(missing_ok=True)
            cube.image.with_name(name).symlink_to(target)
            cube.image.unlink(missing_ok=True)
            assert cube.build().returncode == 0
            assert (victim.read_text(), list(directory.iterdir())) == ("mine", [])
            assert not stamp.is_symlink()
            assert cube.state() == "f"


def test_a_build_without_a_result_fails(cube: Cube) -> None:
    (cube.root.parent / "engine").write_text("#!/bin/sh\nexit 0\n")
    done = cube.build()
    assert done.returncode == 1
    assert b"expected the build to make a file" in done.stderr
    assert cube.state() == "-"


def test_simultaneous_clients_build_it_once(cube: Cube) -> None:
    hold = cube.log.with_name("engine.log.hold")
    hold.touch()
    done: list[Completed] = []
    clients = [threading.Thread(target=lambda: done.append(cube.build())) for _ in range(3)]
    for client in clients:
        client.start()
    wait_for(cube.builds)
    assert cube.state() == "-", "an incomplete image does not count"
    hold.unlink()
    for client in clients:
        client.join()
    assert [each.returncode for each in done] == [0, 0, 0]
    assert cube.builds() == 1
    assert cube.state() == "f"


def test_a_killed_build_is_repeated(cube: Cube) -> None:
    hold = cube.log.with_name("engine.log.hold")
    hold.touch()
    killed: list[Completed] = []
    client = threading.Thread(target=lambda: killed.append(cube.build()))
    client.start()
    wait_for(cube.builds)
    (part,) = cube.image.parent.glob(".*.building.*/*")
    wait_for(part.read_text)
    _kill(_descendants(os.getpid()))
    client.join()
    assert cube.state() == "-"
    assert part.read_text() == "first half of cube.def, ", "the killed build cleaned nothing up"
    hold.unlink()
    done = cube.build()
    assert done.returncode == 0, done.stderr
    assert cube.image.read_text() == "first half of cube.def, second half\n"
    assert cube.left() == {cube.image.name, f".{cube.image.name}.recipe"}


def _descendants(pid: int) -> list[int]:
    report = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    children = [int(word) for word in report.stdout.split()]
    return [*children, *(below for child in children for below in _descendants(child))]


def _kill(pids: list[int]) -> None:
    for pid in pids:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)


def test_an_image_with_a_pending_stamp_is_rebuilt(cube: Cube) -> None:
    """After a power failure between the two renames, the image is unknown."""
    cube.build()
    stamp = cube.image.with_name(f".{cube.image.name}.recipe")
    stamp.write_text("pending\n")
    assert cube.state() == "stale"
    cube.build()
    assert stamp.read_text().split()[1] == str(cube.image.stat().st_size)


def test_an_image_with_another_size_than_its_stamp_is_rebuilt(cube: Cube) -> None:
    cube.build()
    cube.image.write_text("cut of")
    assert cube.state() == "stale"


def test_a_missing_engine_is_reported(call: Call, tmp_path: Path) -> None:
    done = call("mlcr_check_sif", str(tmp_path), str(tmp_path), "/x.sif", "", "1", "no-such-engine")
    assert (done.returncode, done.stderr) == (127, b"no-such-engine: not found\n")


def test_an_image_may_be_built_elsewhere_and_is_the_same(cube: Cube, tmp_path: Path) -> None:
    node = tmp_path / "srun here"
    node.write_text('#!/bin/sh\necho "$1" >>"${0%/*}/nodes"\nshift\nexec "$@"\n')
    node.chmod(0o755)
    words = ("mlcr_build_sif", str(tmp_path / "root"), *cube.words())
    builder = quote_words([str(node), "--partition=it's"])
    done = cube.call(*words, ENGINE_LOG=str(cube.log), mlcr_builder=builder)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "nodes").read_text() == "--partition=it's\n"
    assert cube.log.read_text().startswith("build --fakeroot ")
    assert cube.state() == "f", "where it was built is no part of the recipe"
    (tmp_path / "engine").unlink()
    done = cube.call("mlcr_check_sif", *cube.words(), mlcr_builder=builder)
    assert done.stdout.split()[0] == b"f", "only the compute nodes need the engine"
