# SPDX-License-Identifier: Apache-2.0
"""A command of the user, or the desktop, reports the end of a run."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import sys
from pathlib import Path

import attrs
import pytest

from mlcube_remote.events.outcome import JobOutcome, Status
from mlcube_remote.ui import notification
from mlcube_remote.ui.notification import EndOfRun, notify, split_command
from tests.support.outcomes import failed, succeeded

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"


def end(*outcomes: JobOutcome, name: str = "", code: int = 0) -> EndOfRun:
    return EndOfRun(run_id=RUN_ID, name=name, outcomes=outcomes or (succeeded(),), exit_code=code)


@pytest.fixture
def screen(tmp_path: Path) -> io.TextIOWrapper:
    return (tmp_path / "screen").open("w+", encoding="utf-8")


def test_a_command_gets_facts_as_variables_and_json(
    tmp_path: Path, screen: io.TextIOWrapper
) -> None:
    script = tmp_path / "tell"
    script.write_text(f"#!/bin/sh\ncat >'{tmp_path}/json'; env >'{tmp_path}/env'; echo \"$@\"\n")
    script.chmod(0o755)
    what = end(succeeded(), failed(), name="sweep a", code=1)
    assert notify(f"{script} '$HOME; a  b' *", what, screen) is None
    with screen:
        screen.seek(0)
        assert screen.read() == "$HOME; a  b *\n", "no shell reads the command"
    document = json.loads((tmp_path / "json").read_text())
    assert (document["run"], document["status"], len(document["jobs"])) == (RUN_ID, "failed", 2)
    lines = (tmp_path / "env").read_text().splitlines()
    found = {line for line in lines if line.startswith("MLCUBE_REMOTE_")}
    assert found >= {
        f"MLCUBE_REMOTE_RUN={RUN_ID}",
        "MLCUBE_REMOTE_NAME=sweep a",
        "MLCUBE_REMOTE_STATUS=failed",
        "MLCUBE_REMOTE_EXIT_CODE=1",
        "MLCUBE_REMOTE_JOBS=2",
        "MLCUBE_REMOTE_FAILED=1",
        "MLCUBE_REMOTE_MESSAGE=run sweep a: 1 of 2 jobs failed",
    }


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("sh -c 'exit 3'", "sh: exit code 3"),
        ("sh -c 'kill -9 $$'", "sh: exit code -9"),
        ("true", None),
        ("/no/such/program", "'/no/such/program': no such program"),
    ],
)
def test_a_failure_is_returned(command: str, problem: str | None, screen: io.TextIOWrapper) -> None:
    with screen:
        # A program that does not read its input is none.
        many = end(*[succeeded()] * 2000)
        assert notify(command, many, screen) == problem


def test_a_command_that_hangs_is_ended_with_its_children(
    monkeypatch: pytest.MonkeyPatch, screen: io.TextIOWrapper
) -> None:
    monkeypatch.setattr(notification, "TIMEOUT_S", 0.2)
    with screen:
        assert notify("sh -c 'sleep 600 | sleep 600'", end(), screen) == "sh: ended after 0 s"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected a command"),
        ("a 'b", "No closing quotation"),
        ("no-such x", "no such program"),
        ("cat | mail me", "'|' is for a shell, and none runs it: sh -c 'COMMAND'"),
        ("true && true", "'&&' is for a shell"),
        ("cat > x", "'>' is for a shell"),
    ],
)
def test_a_command_that_cannot_run_is_found_early(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        split_command(text)


def test_words_for_a_shell_that_the_user_names_are_its_own() -> None:
    text = "sh -c 'cat > x && mail me'"
    assert split_command(text) == ["sh", "-c", "cat > x && mail me"]


def test_the_message_is_one_line() -> None:
    assert end().message == f"run {RUN_ID} on a: succeeded"
    assert end(succeeded(), succeeded(), name="x").message == "run x: all 2 jobs succeeded"
    assert end(failed()).message.endswith("on gpu01: failed")


def test_a_run_that_goes_on_has_not_ended() -> None:
    still = attrs.evolve(succeeded(), status=Status.RUNNING)
    assert not end(succeeded(), still).has_ended
    assert end(succeeded(), failed()).has_ended


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of programs that note their arguments."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name in notification._SESSION:
        monkeypatch.delenv(name, raising=False)
    for name in ("notify-send", "osascript"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/said\n')
        program.chmod(0o755)
    return tmp_path


def test_a_desktop_shows_a_message(
    desktop: Path, monkeypatch: pytest.MonkeyPatch, screen: io.TextIOWrapper
) -> None:
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    with screen:
        assert notify("desktop", end(name="<b>"), screen) is None
    title, text = (desktop / "said").read_text().splitlines()[-2:]
    assert (title, text) == ("mlcube-remote", "run &lt;b&gt; on a: succeeded")


def test_a_mac_shows_a_message(
    desktop: Path, monkeypatch: pytest.MonkeyPatch, screen: io.TextIOWrapper
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with screen:
        assert notify("desktop", end(name='x" & y'), screen) is None
    assert (desktop / "said").read_text().splitlines()[-2:] == [
        "mlcube-remote",
        'run x" & y on a: succeeded',
    ]


@pytest.mark.usefixtures("desktop")
def test_a_terminal_without_desktop_rings(screen: io.TextIOWrapper) -> None:
    with screen:
        problem = notify("desktop", end(), screen)
    assert problem is not None
    assert problem.endswith("nor a terminal to ring")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        assert notify("desktop", end(), terminal) is None
        assert os.read(master, 10) == b"\a"
    os.close(master)
