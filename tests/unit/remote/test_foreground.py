# SPDX-License-Identifier: Apache-2.0
"""A command that only its client needs stops with the connection."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from mlcube_remote.remote import library
from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import SHELLS, Call
from tests.support.waiting import wait_for

WORK = """
sleep 4242 & first=$!
setsid sleep 4242 & echo $$ $first $! >work.new; mv work.new work
trap 'echo ended >end; exit 143' TERM
wait
"""

# A watcher that has not yet started its pause would exit at once.
ENDS_WHILE_WATCHED = 'until pgrep -g "$1" -x sleep >/dev/null; do :; done; exit 7'


def shell(name: str) -> list[str]:
    program, *options = SHELLS[name]
    found = shutil.which(program)
    assert found is not None
    return [found, *options]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("name", SHELLS)
def test_a_command_stops_with_its_connection(name: str, tmp_path: Path) -> None:
    script = tmp_path / "session"
    script.write_text(f"{library()}\nmlcr_run_while_connected sh -c {quote_words([WORK])}\n")
    # As with sshd: the shell leads a session, and its parent ends with the connection.
    session = quote_words(["setsid", *shell(name), str(script)])
    with subprocess.Popen(
        ["sh", "-c", f"{session} & echo $!; wait"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as connection:
        wait_for((tmp_path / "work").exists)
        pids = [int(pid) for pid in (tmp_path / "work").read_text().split()]
        connection.kill()
    wait_for((tmp_path / "end").exists)
    wait_for(lambda: not any(map(is_alive, pids)))


def run_attended(name: str, folder: Path, *, pause: int) -> int:
    """Run a command to its end, and return its session's process group."""
    script = folder / "session"
    script.write_text(
        f"{library()}\nmlcr_poll_interval_s={pause}\necho $$\n"
        f"mlcr_run_while_connected sh -c {quote_words([ENDS_WHILE_WATCHED])} sh $$\necho $?\n"
    )
    done = subprocess.run(
        ["setsid", "--wait", *shell(name), str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    group, status = map(int, done.stdout.split())
    assert (status, done.stderr) == (7, "")
    return group


@pytest.mark.parametrize("name", SHELLS)
def test_the_caller_does_not_wait_for_the_watcher(name: str, tmp_path: Path) -> None:
    group = run_attended(name, tmp_path, pause=4242)
    os.killpg(group, signal.SIGKILL)  # the watcher is still in the group


@pytest.mark.parametrize("name", SHELLS)
def test_the_watcher_exits_when_the_command_ends(name: str, tmp_path: Path) -> None:
    group = run_attended(name, tmp_path, pause=1)

    def is_over() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    wait_for(is_over)


def test_a_shell_that_does_not_lead_its_group_is_not_watched(call: Call) -> None:
    assert call("mlcr_run_while_connected", "sh", "-c", "echo done; exit 3").stdout == b"done\n"
    assert call("mlcr_is_group_leader").returncode == 1
