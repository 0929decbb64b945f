# SPDX-License-Identifier: Apache-2.0
"""What mlcube-remote keeps about runs belongs to its user alone, whatever the umask."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlcube_remote.directories import make_private_directory, open_private_file, state_home
from mlcube_remote.errors import RecordError
from mlcube_remote.runs.locks import exclusive
from mlcube_remote.runs.store import RUN, Store
from mlcube_remote.runs.trusted_cubes import TrustedCubes
from mlcube_remote.sandbox import keys
from mlcube_remote.transport.control_directory import control_directory
from mlcube_remote.ui.errors import report_crash
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.hosts import engine, ssh_host

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

__all__ = ["engine", "ssh_host"]

UMASKS = [0o000, 0o022, 0o077]
MAKE = shell_task(
    'head -c 2000000 /dev/zero >"${0#*=}"', outputs={"made": {**FILE, "default": "made.bin"}}
)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(top: Path) -> list[str]:
    """Return what other users may read, write or enter."""
    paths = [top, *top.rglob("*")]
    return [f"{path} {mode_of(path):o}" for path in paths if mode_of(path) & 0o077]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("mask", UMASKS, ids=oct)
def test_a_run_leaves_nothing_open_to_others(
    mask: int,
    ssh_host: HostFactory,
    tmp_path: Path,
) -> None:
    """Records, locks, digests, and the job on the host; the outputs follow the user's umask."""
    host = ssh_host()
    cube = write_cube(tmp_path / "cube", {"make": MAKE})
    command = [sys.executable, "-m", "mlcube_remote", "run", f"--mlcube={cube}", "--task=make"]
    where = [f"--inventory={host.inventory}", f"--host={host.name}"]
    for _ in range(2):
        subprocess.run([*command, *where], check=True, preexec_fn=lambda: os.umask(mask))
    state = state_home()
    assert {path.name for path in state.iterdir()} >= {"runs", "locks", "digests.json"}
    assert open_to_others(state) == []
    root = host.home / ".mlcube-remote"
    # The engine itself gives the file with the container's id its mode; its directory is private.
    assert [each for each in open_to_others(root / "jobs") if not each.endswith("/cid 644")] == []
    assert mode_of(root) == 0o700
    made = cube / "workspace" / "made.bin"
    assert mode_of(made) & ~0o666 == 0
    assert not list((cube / "workspace").glob(".mlcube-remote*"))


@pytest.mark.parametrize("mask", UMASKS, ids=oct)
def test_each_kind_of_file_is_private(mask: int) -> None:
    with umask(mask):
        Store().write("251128-100000-" + "a" * 16, RUN, {})
        with exclusive("mirror"):
            pass
        keys.ensure_key(state_home() / "sandbox" / "hosts" / "h" / "keys" / "key")
        TrustedCubes().write(Path("/cube"), ["x"])
        report_crash(ValueError("x"), io.StringIO())
    found = {path.name for path in state_home().iterdir()}
    assert found == {"crashes", "locks", "runs", "sandbox", "trust"}
    assert open_to_others(state_home().parent) == []


def take_lock() -> None:
    with exclusive("mirror"):
        pass


FIRST: dict[str, Callable[[], object]] = {
    "trust": lambda: TrustedCubes().write(Path("/cube"), ["x"]),
    "records": lambda: Store().write("251128-100000-" + "a" * 16, RUN, {}),
    "a lock": take_lock,
    "a control socket": control_directory,
}


@pytest.mark.parametrize("which", FIRST)
def test_the_first_that_creates_the_directory_makes_it_private(
    which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short path: a socket's path has a limit."""
    with tempfile.TemporaryDirectory(prefix="x") as short, umask(0):
        monkeypatch.setenv("XDG_STATE_HOME", f"{short}/state")
        FIRST[which]()
        assert mode_of(state_home()) == 0o700
        assert open_to_others(state_home()) == []


def test_directories_that_are_open_to_others_are_closed() -> None:
    state = state_home()
    (state / "locks").mkdir(parents=True, mode=0o777)
    (state / "locks" / "mirror").touch(mode=0o666)
    for path in (state, state / "locks", state / "locks" / "mirror"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    with exclusive("mirror"):
        pass
    assert open_to_others(state) == []


def test_directories_outside_are_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o755)
    make_private_directory(tmp_path / "shared" / "a" / "b")
    assert [mode_of(tmp_path / each) for each in ("shared", "shared/a", "shared/a/b")] == [
        0o755,
        0o700,
        0o700,
    ]


def test_a_directory_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    state_home().mkdir(parents=True)
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(RecordError, match=f"belongs to user {uid}"), exclusive("mirror"):
        pass


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("x")
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        open_private_file(tmp_path / "lock")
