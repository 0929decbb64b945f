# SPDX-License-Identifier: Apache-2.0
"""What a host decides when a task begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.jobs.launch import begin_arguments
from mlcube_remote.plan.confined import Confined
from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import Call, launch, state, task_report
from tests.support.waiting import wait_for

ODD = "it's $(a) dir"


def says(text: str) -> str:
    """Return the command of a task that prints a text."""
    return quote_words(["sh", "-c", f"echo {text}"])


def begin(
    *late: tuple[str, Path],
    directories: list[tuple[str, str]] | None = None,
    files: list[tuple[str, str]] | None = None,
    types: tuple[str, ...] = (),
) -> str:
    words = begin_arguments(
        [Confined(path=path, anchor=root or path, rest="") for root, path in directories or []],
        files or [],
        [(name, str(path)) for name, path in late],
        [(each, says(each), "", "") for each in types],
    )
    return quote_words(words)


def run(call: Call, job: Path, *scripts: str, begins: str) -> dict[str, str]:
    """Run a job, and return the report about its last task, which has ``begins``."""
    launch(call, job, *scripts, begins=["" for _ in scripts[1:]] + [begins])
    wait_for(lambda: state(call, job) == "ended")
    return task_report(call, job, len(scripts))


@pytest.mark.parametrize(("script", "types"), [("mkdir", "d"), ("touch", "f")])
def test_what_an_earlier_task_made_chooses_the_command(
    call: Call, job: Path, tmp_path: Path, script: str, types: str
) -> None:
    made = tmp_path / ODD
    begins = begin(("a", made), ("b", tmp_path), types=("fd", "dd"))
    report = run(call, job, f"{script} {quote_words([str(made)])}", "false", begins=begins)
    assert report["exit"] == "0"
    assert (job / "tasks/2/stdout").read_text() == f"{types}d\n"
    assert not (job / "tasks/2/own").exists()


@pytest.mark.parametrize("kind", ["late", "file"])
def test_a_task_without_its_input_does_not_start(
    call: Call, job: Path, tmp_path: Path, kind: str
) -> None:
    made = tmp_path / ODD
    made.symlink_to(tmp_path / "gone")
    if kind == "late":
        begins = begin(("raw", made), types=("f", "d"))
    else:
        begins = begin(files=[("raw", str(made))])
    report = run(call, job, "true", "echo it runs", begins=begins)
    reason = f"input raw: {made} does not exist, and no earlier task has made it"
    assert (report["exit"], report["refused"]) == ("1", reason)
    assert (job / "tasks/2/stderr").read_text() == f"mlcube-remote: {reason}\n"
    assert (job / "tasks/2/stdout").read_text() == ""


def test_the_owner_of_outputs_is_chosen_with_the_command(
    call: Call, job: Path, tmp_path: Path
) -> None:
    words = begin_arguments(
        [], [], [("a", str(tmp_path))], [("d", says("d"), quote_words(["x"]), "")]
    )
    launch(call, job, "true", begins=[quote_words(words)], own=quote_words(["unused"]))
    wait_for(lambda: state(call, job) == "ended")
    assert (job / "tasks/1/own").read_text() == "set -- x\n"


def test_a_directory_is_created_when_its_task_begins(call: Call, job: Path, tmp_path: Path) -> None:
    late = tmp_path / "data/sub" / ODD
    begins = begin(directories=[(str(tmp_path), str(late)), ("", str(tmp_path / "any"))])
    made = quote_words([str(late.parent)])
    report = run(call, job, f"mkdir -p {made} && rmdir {made}", "true", begins=begins)
    assert report["exit"] == "0"
    assert late.is_dir()
    assert (tmp_path / "any").is_dir()
    assert late.stat().st_mode & 0o777 == 0o755


def test_no_directory_is_created_through_a_link_that_an_earlier_task_left(
    call: Call, job: Path, tmp_path: Path
) -> None:
    top, outside = tmp_path / "top", tmp_path / "outside"
    top.mkdir()
    outside.mkdir()
    begins = begin(directories=[(str(top), str(top / "data/sub"))])
    link = quote_words(["ln", "-s", str(outside), str(top / "data")])
    report = run(call, job, link, "true", begins=begins)
    reason = f"{top}/data/sub leads to {outside}/sub, which is outside {top}"
    assert (report["exit"], report["unsafe"]) == ("1", reason)
    assert list(outside.iterdir()) == []


def test_a_link_to_nothing_is_no_directory(call: Call, job: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("nowhere/else")
    begins = begin(directories=[(str(tmp_path), str(tmp_path / "data/sub"))])
    report = run(call, job, "true", begins=begins)
    assert report["exit"] == "1"
    assert "data" in report["unsafe"]
