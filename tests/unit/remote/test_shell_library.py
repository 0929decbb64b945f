# SPDX-License-Identifier: Apache-2.0
"""The hosts' side, under every shell that may be their /bin/sh."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcube_remote.transport.quoting import quote_words
from tests.support.waiting import wait_for
from tests.unit.remote.conftest import Call, facts, launch, state, verdict


def test_a_probe_prepares_the_root_and_tells_what_the_host_is(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a file\nwith newline").write_text("")
    asked = ["/etc", str(tmp_path / "a file\nwith newline"), "~/nothing"]
    told = facts(call("mlcr_probe_host", "~/root", "cubes/c-1", *asked))
    known = dict(told)
    assert known["home"] == str(tmp_path)
    assert known["root"] == f"{tmp_path}/root"
    assert known["uid"] == str(os.getuid())
    assert known["rsync"].count(".") == 2
    assert [value for key, value in told if key == "kind"] == [
        "d/etc",
        f"f{tmp_path}/a file\nwith newline",
        f"-{tmp_path}/nothing",
    ]
    for folder in ("", "cubes", "cubes/c-1", "data", "jobs", "locks", "workspaces"):
        assert (tmp_path / "root" / folder).stat().st_mode & 0o777 == 0o700
    again = dict(facts(call("mlcr_probe_host", "~/root", "cubes/c-1")))
    assert (again["root_id"], again["rsync"]) == (known["root_id"], known["rsync"])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda root: root.symlink_to("/tmp"), b"is a symbolic link"),
        (lambda root: (root.mkdir(), root.chmod(0o777)), b"can be written by others"),
        (lambda root: root.write_text(""), b"File exists"),
    ],
)
def test_a_root_that_others_could_use_is_refused(
    call: Call, tmp_path: Path, spoil: Callable[[Path], object], told: bytes
) -> None:
    spoil(tmp_path / "root")
    done = call("mlcr_probe_host", "~/root", "")
    assert done.returncode == 3
    assert told in done.stderr


def test_tasks_run_in_order_until_one_fails(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "it's $(a job)"
    scripts = ("echo one; echo err >&2", "printf 'two'; exit 5", "echo three")
    assert launch(call, job, *scripts).returncode == 0
    first = call("mlcr_follow_task", str(job), "1", "0", "0")
    second = call("mlcr_follow_task", str(job), "2", "0", "0")
    assert first.returncode == second.returncode == 0
    assert (job / "tasks/1/stdout").read_bytes() == b"one\n"
    assert (job / "tasks/1/stderr").read_bytes() == b"err\n"
    told = verdict(call, job)
    assert (told["exit"], told["stdout"], told["stderr"]) == ("0", "4", "4")
    assert verdict(call, job, 2)["exit"] == "5"
    assert verdict(call, job, 3)["exit"] == "pending"
    assert (job / "tasks/3/stdout").read_bytes() == b""
    assert call("mlcr_print_bytes", str(job / "tasks/2/stdout"), "1").stdout == b"wo"


def test_a_job_is_claimed_once(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "j"
    assert launch(call, job, "true").returncode == 0
    assert launch(call, job, "true").returncode == 17


def test_following_passes_on_what_comes_and_ends_with_the_task(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "j"
    launch(call, job, "echo early; sleep 0.5; echo late")
    wait_for(lambda: (job / "tasks/1/stdout").stat().st_size == len("early\n"))
    began = time.monotonic()
    followed = call("mlcr_follow_task", str(job), "1", "2", "0")
    assert time.monotonic() - began < 5
    assert b"rly\nlate\n".startswith(followed.stdout)
    assert followed.stderr == b""
    assert verdict(call, job)["stdout"] == "11"


def test_nothing_keeps_the_channel_open_once_the_task_has_ended(call: Call, tmp_path: Path) -> None:
    def seconds(name: str) -> float:
        launch(call, tmp_path / "jobs" / name, "sleep 0.2")
        began = time.monotonic()
        call("mlcr_follow_task", str(tmp_path / "jobs" / name), "1", "0", "0")
        return time.monotonic() - began

    # Who looks every two seconds whether the supervisor lives would hold it for those.
    assert any(seconds(name) < 1.9 for name in ("a", "b", "c"))


def test_a_supervisor_that_was_killed_is_noticed(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "j"
    launch(call, job, "sleep 30")
    owner = job / "owner"
    wait_for(lambda: (job / "tasks/1/group").exists() and owner.exists())
    group = int((job / "tasks/1/group").read_text())
    os.kill(int(owner.read_text().split()[1]), 9)
    os.killpg(group, 9)
    assert call("mlcr_follow_task", str(job), "1", "0", "0").returncode == 0
    # Whoever inherits the dead takes a moment to bury them.
    wait_for(lambda: verdict(call, job)["container"] == "absent")
    told = verdict(call, job)
    assert (told["exit"], told["alive"]) == ("pending", "no")
    assert state(call, job) == "lost"


def test_stopping_ends_the_whole_group_and_starts_nothing_more(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "j"
    launch(call, job, "sleep 30 & sleep 30; wait", "echo never")
    wait_for((job / "tasks/1/group").exists)
    assert call("mlcr_stop_job", str(job), "5").returncode == 0
    call("mlcr_follow_task", str(job), "1", "0", "0")
    told = verdict(call, job)
    assert told["stop"] == "yes"
    assert told["exit"] == "143"
    assert verdict(call, job, 2)["exit"] == "pending"
    assert call("mlcr_stop_job", str(job), "5").returncode == 0, "once more does no harm"


def test_directories_are_made_and_inputs_copied_once(call: Call, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("new")
    target = tmp_path / "deep" / "target"
    arguments = ("1", str(tmp_path / "source"), str(target), str(tmp_path / "-made here"))
    assert call("mlcr_prepare_paths", *arguments).returncode == 0
    assert target.read_text() == "new"
    assert (tmp_path / "-made here").stat().st_mode & 0o777 == 0o755
    target.write_text("mine")
    assert call("mlcr_prepare_paths", *arguments).returncode == 0
    assert target.read_text() == "mine"


def test_half_a_copy_is_not_taken_for_a_whole_one(call: Call, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "first").write_text("1")
    target = tmp_path / "own" / "target"
    (tmp_path / "bin").mkdir()
    broken = tmp_path / "bin" / "cp"
    broken.write_text('#!/bin/sh\nfor last; do :; done\nmkdir "$last"\nexit 1\n')
    broken.chmod(0o755)
    arguments = ("1", str(source), str(target))

    failed = call("mlcr_prepare_paths", *arguments, PATH=f"{broken.parent}:{os.environ['PATH']}")
    assert failed.returncode == 1
    assert list(target.parent.iterdir()) == []

    assert call("mlcr_prepare_paths", *arguments).returncode == 0
    assert (target / "first").read_text() == "1"


def test_tasks_find_what_they_expect_or_do_not_run(call: Call, tmp_path: Path) -> None:
    made, blocked = tmp_path / "made here", tmp_path / "a file"
    blocked.touch()
    first, second = tmp_path / "jobs" / "first", tmp_path / "jobs" / "second"

    assert (
        launch(call, first, f"ls '{made}'", expected=quote_words(["0", str(made)])).returncode == 0
    )
    wait_for(lambda: verdict(call, first)["exit"] != "pending")
    assert verdict(call, first)["exit"] == "0"

    refused = launch(call, second, "true", expected=quote_words(["0", f"{blocked}/below"]))
    assert refused.returncode == 18
    assert b"a file" in refused.stderr
    assert not (second / "tasks").exists()


@pytest.mark.parametrize("path", ["tree", "tree/file"], ids=["directory", "file"])
def test_what_an_interrupted_transfer_left_makes_room(
    call: Call, tmp_path: Path, path: str
) -> None:
    tree = tmp_path / "tree"
    for folder in (tree / ".part", tree / "deep er" / ".part"):
        folder.mkdir(parents=True)
        (folder / "half").write_text("half")
    (tree / "file").write_text("whole")
    free = call("mlcr_remove_partial_files", str(tmp_path / path), ".part")
    assert int(free.stdout) > 0, free.stderr
    assert sorted(each.name for each in tree.rglob("*")) == ["deep er", "file"]


def test_a_missing_engine_is_told_apart(call: Call) -> None:
    assert call("mlcr_print_image_platform", "x", "no-such-engine").returncode == 127
    assert call("mlcr_print_server_version", "no-such-engine").returncode == 127
    assert call("mlcr_print_client_version", "no-such-engine").returncode == 127
    assert call("mlcr_run_in", "/etc", "pwd").stdout == b"/etc\n"
    assert call("mlcr_run_in", "/no/where", "pwd").returncode == 125
    assert call("mlcr_run_limited", "5", "echo", "x").stdout == b"x\n"
    assert call("mlcr_print_free_space", "/").stdout.strip().isdigit()


def test_a_failed_task_brings_the_end_of_its_messages(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "j"
    launch(call, job, "yes | head -n 9000 >&2; printf 'a\\000b\\nlast' >&2; exit 4")
    wait_for((job / "tasks/1/exit.4").exists)
    tail = verdict(call, job)["tail"]
    assert tail.endswith("y\nab\nlast")
    assert len(tail) <= 4096
