# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C asks on the terminal, also if the output goes through a pipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.terminal import ClientOnTerminal

DECIDE = """
import sys
from mlcube_remote.cli.option_groups import Display
from mlcube_remote.cli.terminal import on_terminal

with on_terminal(Display(on_interrupt="ask"))("k3j5", ["gpu01"]) as observer:
    decision = observer.decide()
open(sys.argv[1], "w").write(decision.value)
"""


@pytest.mark.parametrize("pipe", ["2>&1 | cat", "| cat", "2>/dev/null </dev/null", "</dev/null"])
@pytest.mark.parametrize(("answer", "expected"), [("s\r", "stop"), ("\r", "detach")])
def test_output_in_a_pipe_stops_no_job_unasked(
    tmp_path: Path, pipe: str, answer: str, expected: str
) -> None:
    decided = tmp_path / "decided"
    command = f'"$0" -c "$1" "$2" {pipe}'
    client = ClientOnTerminal(["sh", "-c", command, sys.executable, DECIDE, str(decided)])
    try:
        client.wait_for("[d/s]")
        client.type(answer)
        assert client.end() == 0, client.shown
    finally:
        client.kill()

    assert decided.read_text() == expected
    is_hint_lost = expected == "detach" and pipe.startswith("2>")
    assert ("mlcube-remote attach k3j5" in client.shown) == is_hint_lost


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    decided = tmp_path / "decided"

    subprocess.run(
        [sys.executable, "-c", DECIDE, str(decided)],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        check=True,
        timeout=60,
    )

    assert decided.read_text() == "stop"
