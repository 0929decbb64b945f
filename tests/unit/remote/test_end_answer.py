# SPDX-License-Identifier: Apache-2.0
"""A host answers the end of a task with its report, and with small outputs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlcube_remote.files.sent_outputs import SentFolder, parse_sent
from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import Call, launch, state
from tests.support.waiting import wait_for

MARKER = "mlcr-0123456789abcdef"
ENDING = f"\0{MARKER}\0".encode()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a workspace with the outputs of an earlier run."""
    place = tmp_path / "work 'space"
    (place / "tree/sub").mkdir(parents=True)
    (place / "tree/a").write_text("old")
    (place / "tree/sub/b").write_text("old")
    return place


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "jobs" / "j"


def answer(call: Call, job: Path, number: int, *words: object) -> tuple[bytes, bytes]:
    """Return the output and the answer of a task that has ended."""
    wait_for(lambda: state(call, job) == "ended")
    done = call("mlcr_follow_task", str(job), str(number), "0", "0", MARKER, *map(str, words))
    assert done.returncode == 0
    assert done.stderr == b""
    output, told, end = done.stdout.split(ENDING)
    assert end == b""
    return output, told


def sent(told: bytes) -> dict[int, SentFolder]:
    begin = told.find(b"\0folder=")
    return {} if begin < 0 else dict(parse_sent(told[begin + 1 :]))


def contents(told: bytes, number: int = 1) -> dict[str, bytes | None] | None:
    folder = sent(told).get(number)
    return None if folder is None else {entry.path: entry.content for entry in folder}


CASES: dict[str, tuple[str, str, dict[str, bytes | None] | None]] = {
    "a new file": ("echo 1 >f", "f", {"./f": b"1\n"}),
    "an empty file": (": >f", "f", {"./f": b""}),
    "no output": ("true", "f", {}),
    "nothing new": ("true", "tree", {}),
    "a new directory": (
        "mkdir -p d/e && echo 1 >d/a && echo 2 >'d/e/- *\\'",
        "d",
        {"./d": None, "./d/e": None, "./d/a": b"1\n", "./d/e/- *\\": b"2\n"},
    ),
    "one file of a directory": ("echo 2 >tree/a", "tree", {"./tree/a": b"2\n"}),
    "a deleted file": ("rm tree/a", "tree", {}),
    "all of the workspace": (
        "rm -r tree; echo 1 >f",
        ".",
        {"./f": b"1\n"},
    ),
    "a link": ("ln -s a tree/link", "tree", None),
    "a pipe": ("mkfifo f", "f", None),
    "a name with a line break": ('mkdir d; echo >"d/x\ny"', "d", None),
    "a large file": ("head -c 262145 /dev/zero >f", "f", None),
    "many files": (
        "mkdir d; cd d; i=0; while [ $i -lt 101 ]; do : >$i; i=$((i+1)); done",
        "d",
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_small_outputs_come_with_the_end(call: Call, job: Path, workspace: Path, case: str) -> None:
    script, output, expected = CASES[case]
    path = workspace if output == "." else workspace / output
    words = quote_words(["", "1", str(path)])
    launch(call, job, f"cd {quote_words([str(workspace)])}; {script}; echo done", outputs=words)
    output_bytes, told = answer(call, job, 1, workspace, 1)
    # A client fetches what the follower did not pass on in time.
    assert output_bytes in {b"done\n", b""}
    assert told.startswith(b"exit=0\0alive=yes\0")
    assert contents(told) == expected


def test_times_and_modes_are_exact(call: Call, job: Path, workspace: Path) -> None:
    place = workspace / "f"
    words = quote_words(["", "1", str(place)])
    launch(call, job, f"cd {quote_words([str(workspace)])}; echo 1 >f; chmod 751 f", outputs=words)
    (entry,) = sent(answer(call, job, 1, workspace, 1)[1])[1]
    assert entry.modified_ns == place.stat().st_mtime_ns
    assert entry.mode == 0o751


def test_the_outputs_of_all_tasks_come_with_the_last(
    call: Call, job: Path, workspace: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    words = ["", "1", f"{workspace}/f", "2", f"{workspace}/g", "1", f"{other}/h"]
    scripts = (f"echo 1 >'{other}/h'; cd {quote_words([str(workspace)])}; echo 2 >f", "echo 3")
    second = f"cd {quote_words([str(workspace)])}; echo 4 >g"
    launch(call, job, scripts[0], second, outputs=quote_words(words))
    places = (workspace, 2, other, 1)
    assert contents(answer(call, job, 1, *places)[1]) is None
    told = answer(call, job, 2, *places)[1]
    assert contents(told) == {"./f": b"2\n", "./g": b"4\n"}
    assert contents(told, 2) == {"./h": b"1\n"}


def test_a_task_that_fails_is_the_last(call: Call, job: Path, workspace: Path) -> None:
    words = ["", "1", f"{workspace}/f", "2", f"{workspace}/g"]
    script = f"cd {quote_words([str(workspace)])}; echo 2 >f; exit 3"
    launch(call, job, script, "true", outputs=quote_words(words))
    told = answer(call, job, 1, workspace, 2)[1]
    assert told.startswith(b"exit=3\0")
    assert contents(told) == {"./f": b"2\n"}


def test_without_folders_only_the_report_comes(call: Call, job: Path, workspace: Path) -> None:
    words = quote_words(["", "1", f"{workspace}/f"])
    launch(call, job, f"echo 2 >{quote_words([str(workspace / 'f')])}", outputs=words)
    told = answer(call, job, 1)[1]
    assert told.startswith(b"exit=0\0")
    assert contents(told) is None


def test_outputs_that_cannot_be_compared_do_not_come(
    call: Call, job: Path, workspace: Path
) -> None:
    words = quote_words(["", "1", f"{workspace}/f"])
    launch(call, job, f"echo 2 >{quote_words([str(workspace / 'f')])}", outputs=words)
    wait_for(lambda: state(call, job) == "ended")
    (job / "tasks/1/outputs").write_text("1 unknown\n")
    assert contents(answer(call, job, 1, workspace, 1)[1]) is None


def test_a_host_without_gnu_find_sends_only_the_report(
    call: Call, job: Path, workspace: Path, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "find").write_text('#!/bin/sh\nexec busybox find "$@"\n')
    (programs / "find").chmod(0o755)
    words = quote_words(["", "1", f"{workspace}/f"])
    launch(call, job, f"echo 2 >{quote_words([str(workspace / 'f')])}", outputs=words)
    wait_for(lambda: state(call, job) == "ended")

    done = call(
        *("mlcr_follow_task", str(job), "1", "0", "0", MARKER, str(workspace), "1"),
        PATH=f"{programs}:{os.environ['PATH']}",
    )
    assert contents(done.stdout.split(ENDING)[1]) is None
