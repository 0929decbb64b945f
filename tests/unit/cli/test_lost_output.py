# SPDX-License-Identifier: Apache-2.0
"""Standard streams that are full or closed end no run, and the exit code says what is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# What main() does around a command, with a task that prints more than any buffer holds.
PROGRAM = """
import sys
import click
from mlcube_remote.cli import main as program
from mlcube_remote.cli.standard_streams import LOST_OUTPUT
from mlcube_remote.events.model import Output, Stage
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.progress.reporter import make_reporter

def command(args=None):
    reporter = make_reporter(
        hosts=sys.argv[1].split(","), quiet=False, verbose=False, json=False,
        on_lost=LOST_OUTPUT.append,
    )
    for name in sys.argv[1].split(","):
        for _ in range(3):
            reporter.handle(
                Output(host=name, at=0.0, stage=Stage.RUN, task="t", stream=Stream.STDOUT,
                       data=b"line\\n" * 5000)
            )
    click.echo("progress", err=True)
    reporter.close()
    click.echo("the end", err=True)
    return 0

program.run = command
program.main()
"""


def run(redirections: str, jobs: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'"$0" "$@" {redirections}', sys.executable, "-c", PROGRAM, jobs],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("jobs", ["gpu01", "gpu01,gpu02"])
@pytest.mark.parametrize(
    ("redirections", "code", "shown"),
    [
        (">/dev/full", 1, ["No space left on device", "jobs continue", "the end", "error: "]),
        (">&-", 0, ["progress", "the end"]),
        ("2>/dev/full", 0, []),
        ("2>&-", 0, []),
        (">/dev/full 2>&1", 1, []),
    ],
)
def test_a_stream_that_cannot_be_written_ends_no_run(
    redirections: str, jobs: str, code: int, shown: list[str]
) -> None:
    result = run(redirections, jobs)

    assert result.returncode == code, result.stderr
    assert [text for text in shown if text not in result.stderr] == []
    assert result.stderr.count("jobs continue") <= 1
    assert "Traceback" not in result.stderr
    if redirections.startswith("2"):
        assert result.stdout.count("line\n") == 15_000 * len(jobs.split(","))


def test_a_reader_that_has_gone_ends_no_run(tmp_path: Path) -> None:
    code = tmp_path / "code"

    result = subprocess.run(
        [
            "sh",
            "-c",
            '{ "$0" "$@"; echo $? >"$CODE"; } 2>&1 | head -1',
            sys.executable,
            "-c",
            PROGRAM,
            "gpu01",
        ],
        env={"CODE": str(code), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.stdout == "line\n"
    assert code.read_text() == "0\n"


# `logs --follow` of a task that continues for ever, behind threads that talk to hosts.
LOGS = """
import threading
from mlcube_remote.cli.option_groups import Display
from mlcube_remote.cli.terminal import on_terminal
from mlcube_remote.events.model import Output, Stage
from mlcube_remote.transport.base import Stream

display = Display(quiet=True, only_prints=True)
names = ["gpu01", "gpu02"]
with on_terminal(display)("run", names) as observer:
    threading.Thread(target=threading.Event().wait).start()
    while True:
        for name in names:
            observer.handle(
                Output(host=name, at=0.0, stage=Stage.RUN, task="t", stream=Stream.STDOUT,
                       data=b"line\\n" * 5000)
            )
"""


def test_a_command_that_only_prints_ends_with_its_reader(tmp_path: Path) -> None:
    code = tmp_path / "code"

    result = subprocess.run(
        ["sh", "-c", '{ "$0" -c "$1"; echo $? >"$2"; } | head -1', sys.executable, LOGS, str(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (result.stdout, result.stderr) == ("gpu01 | line\n", "")
    assert code.read_text() == "141\n"
