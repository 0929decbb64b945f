# SPDX-License-Identifier: Apache-2.0
"""The state of a cube's repository, which may be hostile."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlcube_remote.runs.git_state import read_git_state


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    cube = tmp_path / "repository" / "cube"
    cube.mkdir(parents=True)
    (cube / "mlcube.yaml").write_text("tasks: {}\n")
    git(cube.parent, "init", "-q")
    git(cube.parent, "add", ".")
    git(cube.parent, "commit", "-q", "-m", "first")
    return cube


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    argv = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def test_a_clean_cube_has_its_commit(cube: Path) -> None:
    state = read_git_state(cube, {b"mlcube.yaml"})
    assert state is not None
    assert (state.commit, state.dirty) == (git(cube, "rev-parse", "HEAD"), False)


def test_packed_references_and_other_work_trees_are_read(cube: Path, tmp_path: Path) -> None:
    git(cube, "pack-refs", "--all")
    git(cube, "worktree", "add", "-q", str(tmp_path / "other"))
    for folder in (cube, tmp_path / "other" / "cube"):
        state = read_git_state(folder)
        assert state is not None
        assert (state.commit, state.dirty) == (git(cube, "rev-parse", "HEAD"), False)


def test_a_changed_file_makes_the_cube_dirty(cube: Path) -> None:
    (cube / "mlcube.yaml").write_text("tasks: {a: {}}\n")
    state = read_git_state(cube)
    assert state is not None
    assert state.dirty is True


@pytest.mark.parametrize(("sent", "dirty"), [({b"new.py"}, True), (set(), False)])
def test_an_unknown_file_counts_if_it_is_sent(cube: Path, sent: set[bytes], dirty: bool) -> None:
    (cube / "new.py").write_text("")
    state = read_git_state(cube, sent)
    assert state is not None
    assert state.dirty is dirty


def test_programs_that_a_repository_names_do_not_run(cube: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\ncat\n")
    program.chmod(0o755)
    git(cube, "config", "core.fsmonitor", str(program))
    git(cube, "config", "filter.evil.clean", str(program))
    (cube.parent / ".gitattributes").write_text("* filter=evil\n")
    (cube / "mlcube.yaml").write_text("tasks: {b: {}}\n")
    git_status_would_run_it = ["git", "-C", str(cube), "status", "--porcelain"]
    subprocess.run(git_status_would_run_it, check=True, capture_output=True)
    assert mark.exists(), "the attack works against git itself"
    mark.unlink()
    assert read_git_state(cube) is not None
    assert not mark.exists()


@pytest.mark.parametrize(
    "head", ["ref: refs/heads/../../../etc/passwd", "ref: nothing", "", "x" * 40]
)
def test_a_damaged_head_is_no_commit(cube: Path, head: str) -> None:
    (cube.parent / ".git/HEAD").write_text(head)
    assert read_git_state(cube) is None


def test_a_cube_outside_a_repository_has_no_state(tmp_path: Path) -> None:
    assert read_git_state(tmp_path) is None
