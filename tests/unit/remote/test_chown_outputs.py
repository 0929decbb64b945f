# SPDX-License-Identifier: Apache-2.0
"""Other users' files in outputs are given to the user, and no other files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import Call, Completed, launch, task_report
from tests.support.waiting import wait_for

ENGINE = """#!/bin/sh
# A fake engine: "info" reports whether it is rootless.
case $1 in
info) case "$3" in *"$ASKED"*) echo "$ANSWER" ;; *) exit 1 ;; esac ;;
esac
"""


# Tests may run as root, who can access all files: pretend to be another user.
IDENTITY = """#!/bin/sh
[ "$1" = -g ] && echo 4343
"""


# A copy made by root belongs to root: give it to the user.
COPY = """#!/bin/sh
for target; do :; done
[ ! -e "$NO_SPACE" ] || exit 1
/bin/cp "$@" && chown -h 4242 "$target"
"""


@attrs.frozen
class Host:
    """A host with a task's directory, and a fake command that would change the owner."""

    call: Call
    root: Path

    def own(self, *places: tuple[str, str], query: str = "-", answer: str = "") -> Completed:
        words = [word for place in places for word in place]
        path = f"{self.root.parent / 'bin'}:{os.environ['PATH']}"
        return self.call(
            "mlcr_chown_outputs",
            *(str(self.root.parent / "task"), str(self.root), "4242", str(len(places)), *words),
            *("echo", "chown -h -R"),
            PATH=path,
            QUERIES=query,
            NO_SPACE=str(self.root.parent / "full"),
            ANSWER=answer,
        )


@pytest.fixture
def host(call: Call, tmp_path: Path) -> Host:
    for name in ("bin", "task", "root/theirs", "root/mine", "outside"):
        (tmp_path / name).mkdir(parents=True)
    for name, text in (("engine", ENGINE), ("id", IDENTITY), ("cp", COPY)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    engine = quote_words([str(tmp_path / "bin/engine")])
    (tmp_path / "task/engine").write_text(f'set -- {engine} "$@"\n')
    return Host(call, tmp_path / "root")


def chown_tree(user: int, *paths: Path) -> None:
    for path in paths:
        os.chown(path, user, user)


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make others' files")


@needs_root
def test_the_owner_is_changed_only_in_directories_with_other_users_files(host: Host) -> None:
    mine, theirs = host.root / "mine", host.root / "theirs"
    (theirs / "deep").mkdir()
    chown_tree(4242, mine, theirs)
    both = ((str(mine), "/mlcube_io0"), (str(theirs), "/mlcube_io1"))
    done = host.own(*both)
    assert (done.returncode, done.stdout) == (0, b"chown -h -R 4242:4343 /mlcube_io1\n")
    chown_tree(4242, theirs / "deep")
    assert host.own(*both).stdout == b"", "no container if there is nothing to do"


@needs_root
@pytest.mark.parametrize(
    ("mode", "size", "count", "needs_a_container"),
    [
        (0o644, 9, 3, False),
        (0o444, 9, 3, False),
        (0o640, 9, 1, True),
        (0o600, 9, 1, True),
        (0o644, 2_000_000, 1, True),
        (0o644, 1, 60, True),
    ],
)
def test_a_few_small_files_are_replaced_by_copies(
    host: Host, mode: int, size: int, count: int, needs_a_container: bool
) -> None:
    mine = host.root / "mine"
    for number in range(count):
        made = mine / f"-made '{number}\n"
        made.write_text("x" * size)
        made.chmod(mode)
        os.utime(made, (1, 1))
    (mine / "link").symlink_to("/etc/passwd")
    chown_tree(4242, mine)
    before = {path: path.lstat() for path in mine.iterdir()}
    done = host.own((str(mine), "/mlcube_io0"))
    assert done.returncode == 0, done.stderr
    assert bool(done.stdout) is needs_a_container
    after = {path: path.lstat() for path in mine.iterdir()}
    assert [*map(str, sorted(after))] == [*map(str, sorted(before))]
    for path, was in before.items():
        now = after[path]
        assert (now.st_mode, now.st_size) == (was.st_mode, was.st_size)
        assert (now.st_ino == was.st_ino) is needs_a_container
        assert path.is_symlink() or now.st_mtime == 1
    assert os.readlink(mine / "link") == "/etc/passwd"


@needs_root
def test_copies_are_written_to_no_place_that_a_link_names(host: Host) -> None:
    """A container owned the directory, so it could plant links with every name in it."""
    mine, outside = host.root / "mine", host.root.parent / "outside"
    (outside / "file").write_text("theirs")
    (mine / "made").write_text("x")
    for name, target in (("folder", outside), ("file", outside / "file"), ("new", outside / "new")):
        (mine / name).symlink_to(target)
    chown_tree(4242, mine)
    for pid in range(os.getpid(), os.getpid() + 300):
        for name in (f".mlcube-remote-own.{pid}", f"copies.{pid}"):
            (mine / name).symlink_to(outside / f"victim-{name}")
            os.chown(mine / name, 4242, 4242, follow_symlinks=False)
    done = host.own((str(mine), "/mlcube_io0"))
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "theirs"
    assert (mine / "made").stat().st_uid == 4242
    assert os.readlink(mine / "folder") == str(outside)
    assert (mine / "folder").lstat().st_uid == 4242
    assert not list((host.root.parent / "task").glob("copies*"))


@needs_root
def test_the_engine_changes_the_owner_of_files_that_cannot_be_copied(host: Host) -> None:
    mine = host.root / "mine"
    (mine / "made").write_text("x")
    chown_tree(4242, mine)
    (host.root.parent / "full").touch()
    assert host.own((str(mine), "/mlcube_io0")).stdout == b"chown -h -R 4242:4343 /mlcube_io0\n"
    (host.root.parent / "full").unlink()
    os.mkfifo(mine / "pipe")
    assert host.own((str(mine), "/mlcube_io0")).stdout == b"chown -h -R 4242:4343 /mlcube_io0\n"
    assert sorted(path.name for path in mine.iterdir()) == ["made", "pipe"]


@needs_root
@pytest.mark.parametrize(
    ("query", "answer", "owner"),
    [
        ("Rootless", "true", "0:0"),
        ("Rootless", "false", "4242:4343"),
        ("SecurityOptions", "[name=seccomp,profile=default name=rootless]", "0:0"),
        ("SecurityOptions", "[name=apparmor name=seccomp,profile=default]", "4242:4343"),
        ("nothing", "", "4242:4343"),
    ],
)
def test_in_a_rootless_engine_root_is_the_user(
    host: Host, query: str, answer: str, owner: str
) -> None:
    done = host.own((str(host.root / "theirs"), "/mlcube_io0"), query=query, answer=answer)
    assert done.stdout.decode() == f"chown -h -R {owner} /mlcube_io0\n"


@needs_root
@pytest.mark.parametrize(
    "lead",
    [
        lambda root: root.parent / "outside",
        lambda root: root,
        lambda root: root / "theirs/../../outside",
        lambda root: root / "nothing",
    ],
)
def test_files_outside_the_root_are_not_changed(host: Host, lead: Callable[[Path], Path]) -> None:
    link = host.root / "theirs/link"
    link.symlink_to(lead(host.root))
    for place in (link, lead(host.root)):
        done = host.own((str(place), "/mlcube_io0"))
        assert (done.returncode, done.stdout) == (0, b"")


def test_the_reason_is_reported_if_the_owner_cannot_be_changed(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "j"
    own = quote_words([str(tmp_path / "gone"), "4242", "0", "true"])
    launch(call, job, "true", own=own)
    wait_for((job / "tasks/1/exit.0").exists)
    assert "gone" in task_report(call, job)["foreign"]


def test_nothing_is_reported_if_all_files_are_the_users(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "j"
    launch(call, job, "true", own=quote_words([str(tmp_path), "4242", "0", "false"]))
    wait_for((job / "tasks/1/exit.0").exists)
    assert "foreign" not in task_report(call, job)
