# SPDX-License-Identifier: Apache-2.0
"""A task gets copies on a disk of its compute node, and what it changes comes back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mlcube_remote.transport.quoting import quote_words
from tests.support.fake_slurm import FakeSlurm, start
from tests.support.shell_library import Call, state, task_report
from tests.support.waiting import wait_for

OLD = 1_000_000_000
"""A time of change, in seconds since the epoch."""


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the disk of the compute node."""
    path = tmp_path / "disk of the node"
    path.mkdir()
    monkeypatch.setenv("NODE_DISK", str(path))
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "work space"
    path.mkdir()
    return path


def words(*directories: Path) -> str:
    """Return the arguments of ``mlcr_write_mounts`` for directories that are their own areas."""
    return quote_words([word for path in directories for word in (str(path), "", str(path))])


def copies(
    copied: Sequence[Path], written: Sequence[Path], mounted: Sequence[tuple[Path, Path]] = ()
) -> tuple[str, str, str]:
    pairs = mounted or [(path, path) for path in copied]
    named = quote_words([str(path) for pair in pairs for path in pair])
    return words(*copied), named, words(*written)


def run(
    call: Call,
    job: Path,
    *scripts: str,
    every: Sequence[tuple[str, str, str]],
    place: str = "$NODE_DISK",
) -> None:
    """Run tasks with copies; ``$copies`` is where they find those."""
    texts = [f"copies='{job}/slurm/scratch'\n{script}" for script in scripts]
    scratch = quote_words([place, *(word for each in every for word in each)])
    assert start(call, job, *texts, scratch=scratch).returncode == 0
    wait_for(lambda: state(call, job) == "ended")


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Return name → what changes if a file is written or replaced."""
    return {
        path.name: (found.st_ino, found.st_ctime_ns)
        for path in folder.rglob("*")
        if path.is_file()
        for found in [path.stat()]
    }


@pytest.mark.usefixtures("slurm")
def test_what_a_task_changes_comes_back_and_the_rest_is_not_touched(
    call: Call, job: Path, disk: Path, workspace: Path
) -> None:
    for name in ("same", "deleted", "changed"):
        (workspace / name).write_text("before")
        os.utime(workspace / name, (OLD, OLD))
    (workspace / "old").mkdir()
    (workspace / "old/file").write_text("x")
    before = stamps(workspace)
    script = f"""
    cd "$copies{workspace}" && pwd -P
    rm -r deleted old
    printf %s after! >changed && touch -d @{OLD} changed
    mkdir -p new/deep && echo 5 >new/deep/file && ln -s deep/file new/link
    """
    run(call, job, script, every=[copies([workspace], [workspace])])
    assert task_report(call, job)["exit"] == "0"
    seen = (job / "tasks/1/stdout").read_text().strip()
    assert seen.startswith(f"{disk}/mlcube-remote-{job.name}.")
    assert sorted(path.name for path in workspace.iterdir()) == ["changed", "new", "same"]
    assert (workspace / "changed").read_text() == "after!", "of the same size and time"
    assert (workspace / "new/link").read_text() == "5\n"
    assert stamps(workspace)["same"] == before["same"]
    wait_for(lambda: not list(disk.iterdir()))
    assert not (job / "slurm/incoming").exists()


NAMES = [b"a\nb", b"#c", b"; d", b"e\rf", b"\xff\xfe", b"-g", b" h ", b"t\tu", b"*", b"~i", b"'q'"]


@pytest.mark.usefixtures("slurm", "disk")
@pytest.mark.parametrize("has_line_breaks", [True, False])
def test_all_names_come_back(
    call: Call, job: Path, workspace: Path, *, has_line_breaks: bool
) -> None:
    names = [name for name in NAMES if has_line_breaks or b"\n" not in name]
    inside = os.fsencode(workspace)
    for name in names:
        Path(os.fsdecode(inside + b"/" + name)).write_text("old")
        Path(os.fsdecode(inside + b"/gone" + name)).write_text("old")
    script = f"""
    cd "$copies{workspace}" && rm -f -- gone*
    for each in ./*; do printf new >"$each"; cp -- "$each" "${{each}}2"; done
    """
    run(call, job, script, every=[copies([workspace], [workspace])])
    assert task_report(call, job)["exit"] == "0", (job / "tasks/1/stderr").read_text()
    found = {name: (workspace / os.fsdecode(name)).read_text() for name in os.listdir(inside)}
    assert found == {each: "new" for name in names for each in (name, name + b"2")}


@pytest.mark.usefixtures("slurm", "disk")
@pytest.mark.parametrize(
    ("before", "script", "check"),
    [
        (
            "mkdir x && echo 1 >x/file",
            "rm -r x && echo 2 >x",
            lambda at: (at / "x").read_text() == "2\n",
        ),
        (
            "echo 1 >x",
            "rm x && mkdir x && echo 2 >x/file",
            lambda at: (at / "x/file").read_text() == "2\n",
        ),
        (
            "mkdir ../outside; ln -s ../outside x",
            "rm x && mkdir x && echo 2 >x/file",
            lambda at: (at / "x/file").read_text() == "2\n" and not (at / "x").is_symlink(),
        ),
        (
            "mkdir ../outside; mkdir x && echo 1 >x/file",
            "rm -r x && ln -s ../outside x",
            lambda at: (at / "x").is_symlink() and not list((at.parent / "outside").iterdir()),
        ),
        ("echo 1 >x", "chmod 640 x", lambda at: (at / "x").stat().st_mode & 0o777 == 0o640),
        (
            "echo 1 >x",
            "mv x y && mkdir -m 500 z",
            lambda at: sorted(path.name for path in at.iterdir()) == ["y", "z"],
        ),
    ],
)
def test_entries_may_become_others(
    call: Call,
    job: Path,
    workspace: Path,
    before: str,
    script: str,
    check: Callable[[Path], bool],
) -> None:
    assert os.system(f"cd '{workspace}' && {before}") == 0  # noqa: S605 - a constant
    run(call, job, f'cd "$copies{workspace}" && {script}', every=[copies([workspace], [workspace])])
    assert task_report(call, job)["exit"] == "0", (job / "tasks/1/stderr").read_text()
    assert check(workspace)


@pytest.mark.usefixtures("slurm", "disk")
def test_the_next_task_sees_what_the_one_before_has_written(
    call: Call, job: Path, workspace: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "in").write_text("1")
    # Task 2 reads, in the same second, a file of the same size that task 1 replaced.
    (workspace / "state").write_text("1")
    write = f'printf 2 >"$copies{workspace}/state"'
    read = f'cat "$copies{workspace}/state" "$copies{data}/in"'
    each = copies([workspace, data], [workspace])
    run(call, job, write, read, every=[each, each])
    assert (job / "tasks/2/stdout").read_text() == "21"
    assert (workspace / "state").read_text() == "2"


@pytest.mark.usefixtures("slurm", "disk")
def test_a_failed_task_leaves_what_it_wrote(call: Call, job: Path, workspace: Path) -> None:
    script = f'echo half >"$copies{workspace}/log"; exit 3'
    run(call, job, script, every=[copies([workspace], [workspace])])
    assert task_report(call, job)["exit"] == "3"
    assert (workspace / "log").read_text() == "half\n"


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("$NO_SUCH_DISK/x", "scratch: $NO_SUCH_DISK is not set on "),
        ("${NO_SUCH_DISK}", "scratch: $NO_SUCH_DISK is not set on "),
        ("/tmp/$5", "scratch: expected the name of a variable after $ in /tmp/$5"),
        ("$RELATIVE", "scratch: expected an absolute path, got some/where"),
        ("/dev/null/x", "/dev/null"),
    ],
)
def test_a_place_that_does_not_exist_refuses_the_task(
    call: Call, job: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, place: str, reason: str
) -> None:
    monkeypatch.setenv("RELATIVE", "some/where")
    run(call, job, "echo ran", every=[copies([workspace], [workspace])], place=place)
    report = task_report(call, job)
    assert report["exit"] == "1"
    assert reason in report["refused"]
    assert reason in (job / "tasks/1/stderr").read_text()
    assert (job / "tasks/1/stdout").read_text() == ""


@pytest.mark.usefixtures("slurm")
def test_a_place_may_name_several_variables(
    call: Call, job: Path, disk: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHO", "ada; touch $HOME/evil `id`")
    place = "${NODE_DISK}/of $WHO/x"
    script = f'cd "$copies{workspace}" && pwd -P'
    run(call, job, script, every=[copies([workspace], [workspace])], place=place)
    seen = (job / "tasks/1/stdout").read_text()
    assert seen.startswith(f"{disk}/of ada; touch $HOME/evil `id`/x/mlcube-remote-{job.name}.")


@pytest.mark.usefixtures("slurm")
def test_a_link_out_of_the_copies_refuses_the_task(
    call: Call, job: Path, disk: Path, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").mkdir()
    (workspace / "out").symlink_to(tmp_path / "secret")
    each = copies([workspace], [workspace], [(workspace, workspace / "out")])
    run(call, job, "echo ran", every=[each])
    report = task_report(call, job)
    assert "which is outside" in report["unsafe"]
    assert "refused" not in report
    wait_for(lambda: not list(disk.iterdir()))


@pytest.mark.usefixtures("slurm")
def test_a_task_does_not_succeed_if_its_changes_cannot_be_copied_back(
    call: Call, job: Path, disk: Path, workspace: Path
) -> None:
    script = f"""
    echo precious >"$copies{workspace}/model"
    mkdir -p '{job}/slurm' && true >'{job}/slurm/incoming'
    """
    run(call, job, script, every=[copies([workspace], [workspace])])
    report = task_report(call, job)
    code, _, reason = report["unreturned"].partition(" ")
    assert (report["exit"], code) == ("1", "0")
    (kept,) = disk.iterdir()
    assert f"kept: {kept}/copies on {os.uname().nodename}" in reason
    assert reason in (job / "tasks/1/stderr").read_text()
    assert (kept / f"copies{workspace}/model").read_text() == "precious\n"
    wait_for(lambda: "kept what was not copied back" in (job / "supervise.log").read_text())


@pytest.mark.usefixtures("slurm", "disk")
def test_copies_that_disappear_delete_nothing(call: Call, job: Path, workspace: Path) -> None:
    (workspace / "input").write_text("1")
    script = 'rm -rf "$(readlink "$copies")"'
    run(call, job, script, every=[copies([workspace], [workspace])])
    assert "are gone" in task_report(call, job)["unreturned"]
    assert (workspace / "input").read_text() == "1"


def test_stop_ends_the_copying(
    call: Call,
    job: Path,
    slurm: FakeSlurm,
    disk: Path,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = slurm.folder / "rsync"
    slow.write_text(f"#!/bin/sh\ntrue >{slurm.folder}/copying\nsleep 60\n")
    slow.chmod(0o755)
    scratch = quote_words(["$NODE_DISK", *copies([workspace], [workspace])])
    assert start(call, job, "echo ran", scratch=scratch).returncode == 0
    wait_for((slurm.folder / "copying").exists)
    began = time.monotonic()
    assert call("mlcr_stop_job", str(job), "10").returncode == 0
    wait_for(lambda: state(call, job) == "ended")
    assert time.monotonic() - began < 20
    report = task_report(call, job)
    assert report["stop"] == "yes"
    assert "refused" not in report
    assert (job / "tasks/1/stdout").read_text() == ""
    wait_for(lambda: not list(disk.iterdir()))


def test_a_stopped_task_is_copied_back_and_not_cancelled_meanwhile(
    call: Call, job: Path, slurm: FakeSlurm, disk: Path, workspace: Path
) -> None:
    scratch = quote_words(["$NODE_DISK", *copies([workspace], [workspace])])
    script = f'echo 1 >"{job}/slurm/scratch{workspace}/part"; echo ready; exec sleep 60'
    assert start(call, job, script, scratch=scratch).returncode == 0
    wait_for(lambda: "ready" in (job / "tasks/1/stdout").read_text())
    slow = slurm.folder / "rsync"
    slow.write_text('#!/bin/sh\nsleep 4\nPATH=${PATH#*:}\nexec rsync "$@"\n')
    slow.chmod(0o755)
    assert call("mlcr_stop_job", str(job), "-4").returncode == 0
    assert not any(
        "--batch" not in each and "--state" not in each for each in slurm.calls("scancel")
    )
    wait_for(lambda: state(call, job) == "ended")
    assert (workspace / "part").read_text() == "1\n"
    wait_for(lambda: not list(disk.iterdir()))
