# SPDX-License-Identifier: Apache-2.0
"""The host tells which outputs a job has made, updated or left as they were."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import Call, facts, launch, state, task_report
from tests.support.waiting import wait_for

CASES = {
    "a new file": ("echo 1 >f", "f", "made", None),
    "a new directory": ("mkdir d && echo 1 >d/a", "d", "made", None),
    "an empty directory gets a file": ("echo 1 >empty/a", "empty", "made", None),
    "an empty directory": ("true", "empty", "unchanged", None),
    "nothing": ("true", "f", "absent", None),
    "an old file": ("cat old.json", "old.json", "unchanged", None),
    "an old file, written again": ("echo 0.99 >old.json", "old.json", "updated", None),
    "an old file, replaced": (
        "cp -p old.json n && mv n old.json",
        "old.json",
        "updated",
        None,
    ),
    "an old file with its old time": (
        "echo 0.98 >old.json && touch -r tree/a old.json",
        "old.json",
        "updated",
        None,
    ),
    "an old file, deleted": ("rm old.json", "old.json", "absent", None),
    "an old directory": ("ls tree", "tree", "unchanged", None),
    "an old directory with a temporary file": (
        "echo >tree/t; rm tree/t",
        "tree",
        "unchanged",
        None,
    ),
    "one file of an old directory": ("echo 2 >>tree/a", "tree", "updated", ["./a"]),
    "a file below it": ("echo 2 >tree/sub/.hidden", "tree", "updated", ["./sub/.hidden"]),
    "a directory in it": ("mkdir tree/n && echo >tree/n/x", "tree", "updated", ["./n", "./n/x"]),
    "a link in it": ("ln -s a tree/link", "tree", "updated", ["./link"]),
    "odd names in it": (
        'echo >"tree/-a b\'\\\\" && echo >tree/*',
        "tree",
        "updated",
        ["./*", "./-a b'\\"],
    ),
    "a name with a tab": ('echo >"tree/x\ty"', "tree", "updated", ["./x\ty"]),
    "a name with a line break": ('echo >"tree/x\ny"', "tree", "updated", None),
    "a deleted file of it": ("rm tree/a", "tree", "updated", []),
    "everything in it is deleted": ("rm -r tree/*", "tree", "updated", None),
    "a file that becomes a directory": (
        "rm old.json && mkdir old.json && echo >old.json/x",
        "old.json",
        "updated",
        [".", "./x"],
    ),
    "our own files": ("echo >tree/.mlcube-remote-x", "tree", "unchanged", None),
    "the workspace itself": ("echo 1 >new; cat old.json", ".", "updated", ["./new"]),
    "a failed task": ("echo 2 >>tree/a; exit 3", "tree", "updated", ["./a"]),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a workspace in which an earlier run has left files."""
    place = tmp_path / "it's a $(workspace)"
    (place / "tree/sub").mkdir(parents=True)
    (place / "empty").mkdir()
    (place / "old.json").write_text("0.99\n")
    for name in ("a", "b", "sub/c"):
        (place / "tree" / name).write_text("old\n")
    return place


def run(
    call: Call, job: Path, workspace: Path, script: str, *outputs: str, fresh: str = ""
) -> dict[str, str]:
    """Run a task with these outputs, and return the report about it."""
    words = [word for output in outputs for word in ("1", os.path.normpath(workspace / output))]
    text = f"cd {quote_words([str(workspace)])} && {{ {script}; }}"
    launch(call, job, text, "echo next", outputs=quote_words([fresh, *words]))
    wait_for(lambda: state(call, job) == "ended")
    return task_report(call, job)


def names(report: dict[str, str], index: int = 1) -> list[str] | None:
    """Return the names of the entries that were made or updated, if the host lists them."""
    text = report.get(f"changed.{index}")
    return None if text is None else sorted(text.splitlines())


@pytest.mark.parametrize("case", CASES)
def test_the_host_tells_what_a_task_did_to_an_output(
    call: Call, job: Path, workspace: Path, case: str
) -> None:
    script, output, expected, changed = CASES[case]
    report = run(call, job, workspace, script, output)
    assert (report["outputs"], report["output.1"]) == ("known", expected)
    assert names(report) == changed


def test_each_task_reports_its_own_outputs(call: Call, job: Path, workspace: Path) -> None:
    first, second = (quote_words(["1", str(workspace / "old.json")]), "")
    second = quote_words(["2", str(workspace / "tree"), "2", str(workspace / "made")])
    place = quote_words([str(workspace)])
    scripts = (f"cd {place}; echo 1 >made", f"cd {place}; echo >tree/b")
    launch(call, job, *scripts, outputs=f"'' {first} {second}")
    wait_for(lambda: state(call, job) == "ended")
    assert {k: v for k, v in task_report(call, job).items() if k.startswith("output.")} == {
        "output.1": "unchanged"
    }
    report = task_report(call, job, 2)
    # The run made the third output, although another task of it did.
    assert (report["output.2"], report["output.3"]) == ("updated", "made")
    assert "output.1" not in report


def test_a_job_without_outputs_notes_nothing(call: Call, job: Path) -> None:
    launch(call, job, "true")
    wait_for(lambda: state(call, job) == "ended")
    assert "outputs" not in task_report(call, job)
    assert call("mlcr_report_outputs", str(job), "1").stdout == b""
    assert not (job / "before").exists()


def test_a_running_task_can_be_asked_about(
    call: Call, job: Path, workspace: Path, gate: Path
) -> None:
    words = quote_words(["", "1", str(workspace / "old.json"), "1", str(workspace / "tree")])
    place = quote_words([str(workspace)])
    launch(call, job, f"cd {place}; echo >tree/n; cat {quote_words([str(gate)])}", outputs=words)
    wait_for((workspace / "tree/n").exists)
    assert "outputs" not in task_report(call, job)
    report = dict(facts(call("mlcr_report_outputs", str(job), "1")))
    assert (report["output.1"], report["output.2"]) == ("unchanged", "updated")
    assert names(report, 2) == ["./n"]
    assert not list(job.glob("asked.*"))


@pytest.mark.parametrize(("output", "code"), [("old.json", "119"), ("new", "0"), ("tree", "0")])
def test_all_outputs_must_be_fresh(
    call: Call, job: Path, workspace: Path, output: str, code: str
) -> None:
    report = run(call, job, workspace, "echo 1 >new; echo 2 >tree/a", output, fresh="fresh")
    assert report["exit"] == code
    assert report.get("stale") == ("yes" if code == "119" else None)
    next_ran = (job / "tasks/2/exit.0").exists()
    assert next_ran == (code == "0")


def test_a_failed_task_keeps_its_own_exit_code(call: Call, job: Path, workspace: Path) -> None:
    report = run(call, job, workspace, "exit 7", "old.json", fresh="fresh")
    assert (report["exit"], report["output.1"], report.get("stale")) == ("7", "unchanged", None)


def test_an_unreadable_output_is_unknown(call: Call, job: Path, workspace: Path) -> None:
    if os.getuid() == 0:
        # Root can read everything, so the path of this output does not exist at all.
        report = run(call, job, workspace, "rm -r tree; echo >tree", "tree/sub")
        assert report["output.1"] == "absent"
        return
    (workspace / "tree/sub").chmod(0)
    assert run(call, job, workspace, "true", "tree")["output.1"] == "unknown"


def test_too_many_entries_are_unknown(
    call: Call, job: Path, workspace: Path, tmp_path: Path
) -> None:
    """A limit keeps the start of a job short; here the listing is cut by a small one."""
    program = tmp_path / "head"
    program.write_text('#!/bin/sh\nyes "x" | /usr/bin/head -n 200001\n')
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    words = quote_words(["", "1", str(workspace / "tree")])
    job.mkdir(parents=True)
    (job / "outputs").write_text(f"set -- {words}\n")
    call("mlcr_note_outputs", str(job), PATH=path)
    assert not (job / "before/1").exists()


def test_a_long_list_of_names_is_only_measured(call: Call, job: Path, workspace: Path) -> None:
    script = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo >tree/number-$i; done"
    report = run(call, job, workspace, script, "tree")
    assert "changed.1" not in report
    listed = (job / "tasks/1/changed.1").read_bytes()
    assert (int(report["listed.1"]), listed.count(b"\n")) == (len(listed), 2000)


TOOLS = (
    "find",
    "stat",
    "sort",
    "uniq",
    "head",
    "cut",
    "wc",
    "grep",
    "printf",
    "timeout",
    "cat",
    "sed",
)


@pytest.mark.parametrize("case", CASES)
def test_the_tools_of_busybox_are_enough(
    call: Call, job: Path, workspace: Path, tmp_path: Path, case: str
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to("/usr/bin/busybox")
    path = f"{tools}:{os.environ['PATH']}"
    script, output, expected, changed = CASES[case]
    words = quote_words(["", "1", os.path.normpath(workspace / output)])
    (job / "tasks/1").mkdir(parents=True)
    (job / "outputs").write_text(f"set -- {words}\n")
    assert call("mlcr_note_outputs", str(job), PATH=path).returncode == 0
    subprocess.run(["sh", "-c", script], cwd=workspace, check=False)
    report = dict(facts(call("mlcr_report_outputs", str(job), "1", PATH=path)))
    assert report["output.1"] == expected
    assert names(report) == changed


@pytest.mark.parametrize(
    ("script", "expected"), [("true", "unchanged"), ("echo 1 >>old.json", "updated")]
)
def test_a_file_is_compared_with_few_processes(
    call: Call, job: Path, workspace: Path, tmp_path: Path, script: str, expected: str
) -> None:
    """Each process makes every run slower, and most outputs are files."""
    tools = tmp_path / "few tools"
    tools.mkdir()
    for name in ("find", "mkdir", "mv"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    (job / "tasks/1").mkdir(parents=True)
    (job / "outputs").write_text(f"set -- {quote_words(['', '1', str(workspace / 'old.json')])}\n")
    assert call("mlcr_note_outputs", str(job), PATH=str(tools)).stderr == b""
    subprocess.run(["sh", "-c", script], cwd=workspace, check=True)
    done = call("mlcr_compare_outputs", str(job), "1", str(job / "tasks/1"), PATH=str(tools))
    assert done.stderr == b""
    assert (job / "tasks/1/outputs").read_text() == f"1 {expected}\n"


@pytest.mark.parametrize(
    ("number", "mode", "expected"),
    [(1, "", "updated"), (1, "again", "unchanged"), (2, "", "unchanged")],
)
@pytest.mark.parametrize("tools", ["usual", "busybox"])
def test_a_change_of_the_owner_is_no_update(
    call: Call,
    job: Path,
    workspace: Path,
    tmp_path: Path,
    number: int,
    mode: str,
    expected: str,
    tools: str,
) -> None:
    """The owner of outputs is changed after each task, which changes the times of all entries."""
    path = os.environ["PATH"]
    if tools == "busybox":
        (tmp_path / "tools").mkdir()
        for name in TOOLS:
            (tmp_path / "tools" / name).symlink_to("/usr/bin/busybox")
        path = f"{tmp_path}/tools:{path}"
    words = quote_words(["", str(number), str(workspace / "tree")])
    for task in ("1", "2"):
        (job / "tasks" / task).mkdir(parents=True)
    (job / "tasks/1/own").write_text("set -- /root 0\n")
    (job / "outputs").write_text(f"set -- {words}\n")
    call("mlcr_note_outputs", str(job), PATH=path)
    (workspace / "tree/a").chmod(0o600)  # like chown, which only root may use
    arguments = (str(job), str(number), str(job / f"tasks/{number}"), mode)
    assert call("mlcr_compare_outputs", *arguments, PATH=path).returncode == 0
    assert (job / f"tasks/{number}/outputs").read_text() == f"1 {expected}\n"
    (workspace / "tree/b").write_text("new\n")
    call("mlcr_compare_outputs", *arguments, PATH=path)
    changed = (job / f"tasks/{number}/changed.1").read_text().splitlines()
    assert changed == (["./a", "./b"] if expected == "updated" else ["./b"])


def test_outputs_that_could_not_be_read_are_compared_again(
    call: Call, job: Path, workspace: Path
) -> None:
    (job / "tasks/1").mkdir(parents=True)
    (job / "outputs").write_text(f"set -- {quote_words(['', '1', str(workspace / 'tree')])}\n")
    call("mlcr_note_outputs", str(job))
    (job / "tasks/1/outputs").write_text("1 unknown\n")
    assert call("mlcr_compare_unknown_outputs", str(job), "1").returncode == 0
    assert (job / "tasks/1/outputs").read_text() == "1 unchanged\n"
