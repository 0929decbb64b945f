# SPDX-License-Identifier: Apache-2.0
"""Errors are printed as one line and a hint; equal errors of many hosts are printed once."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from mlcube_remote.errors import (
    HostError,
    MLCubeRemoteError,
    TransferError,
    UnreachableError,
    UsageError,
)
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.ui.errors import failure_reason, print_error, print_errors, report_crash


def outcome(host: str, status: Status = Status.SUCCEEDED, **changes: Any) -> JobOutcome:
    values: dict[str, Any] = {
        "tasks": (TaskOutcome(task="train", status=status, exit_code=3),),
        "seconds": {"run": 2.0},
    }
    return JobOutcome(host=host, platform="docker", status=status, **(values | changes))


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (outcome("a"), ""),
        (outcome("a", Status.FAILED), "train: exit code 3"),
        (outcome("a", Status.FAILED, error=UnreachableError("a", "no route")), "no route"),
        (outcome("a", Status.FAILED, error=MLCubeRemoteError("odd")), "odd"),
        (outcome("a", Status.FAILED, tasks=()), ""),
    ],
)
def test_the_failure_reason_is_short(found: JobOutcome, reason: str) -> None:
    assert failure_reason(found) == reason


def test_an_error_is_one_line_and_a_hint() -> None:
    stream = io.StringIO()
    print_error(UnreachableError("h", "gone\x1b[2J", hint="first\nsecond"), stream)
    assert stream.getvalue() == "error: h: gone\nhint: first\n      second\n"


def test_further_lines_of_an_error_are_indented() -> None:
    stream = io.StringIO()
    print_error(UsageError("odd\nerror: forged", hint="\x1b[0m"), stream)
    assert stream.getvalue() == "error: odd\n       error: forged\nhint: \n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_used_only_on_terminals_without_no_color(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_error(UnreachableError("h", "gone"), stream)
    assert "\x1b[31merror:" in stream.getvalue()
    plain = Terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    print_error(UnreachableError("h", "gone"), plain)
    assert "\x1b" not in plain.getvalue()


def printed(errors: list[MLCubeRemoteError]) -> list[str]:
    stream = io.StringIO()
    print_errors(errors, stream)
    return stream.getvalue().splitlines()


def test_an_error_that_many_hosts_share_is_printed_once() -> None:
    errors: list[MLCubeRemoteError] = [
        UnreachableError(f"h{n:02}", "no route", hint=f"ssh h{n:02}") for n in range(40)
    ]
    errors += [
        TransferError("h40", "disk full"),
        MLCubeRemoteError("odd"),
        MLCubeRemoteError("odd"),
    ]
    assert printed([errors[0], errors[0], errors[1]]) == [
        "error: h00: no route",
        "hint: ssh h00",
        "error: h01: no route",
        "hint: ssh h01",
    ]
    assert printed(errors) == [
        "error: h[00-39] (40): no route",
        "hint: for h00: ssh h00",
        "error: odd",
        "error: h40: disk full",
    ]


def test_errors_of_few_hosts_are_all_printed() -> None:
    errors: list[MLCubeRemoteError] = [HostError(f"h{n}", "no route") for n in range(3)]
    assert printed(errors) == [f"error: h{n}: no route" for n in range(3)]


def test_only_the_first_kinds_of_errors_are_printed() -> None:
    errors: list[MLCubeRemoteError] = [HostError(f"h{n}", f"odd {n * n}") for n in range(50)]
    lines = printed(errors)
    assert len(lines) == 13
    assert lines[-1] == "error: … and 38 more"


def test_the_traceback_of_a_bug_is_saved_in_a_private_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    stream = io.StringIO()
    report_crash(ValueError("odd \udcff"), stream)
    (path,) = (tmp_path / "mlcube-remote/crashes").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "ValueError: odd" in path.read_text()
    assert str(path) in stream.getvalue()
    monkeypatch.setenv("MLCUBE_REMOTE_DEBUG", "1")
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    report_crash(ValueError("odd"), stream)
    assert "run the command again with MLCUBE_REMOTE_DEBUG=1" in stream.getvalue()
