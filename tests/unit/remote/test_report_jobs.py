# SPDX-License-Identifier: Apache-2.0
"""Reports about tasks and jobs."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.support.shell_library import (
    Call,
    Completed,
    age,
    facts,
    kill_supervisor,
    launch,
    state,
    task_report,
)
from tests.support.waiting import wait_for


def report_jobs(call: Call, *words: str) -> list[list[tuple[str, str]]]:
    return grouped(call("mlcr_report_jobs", "~", *words))


def grouped(done: Completed) -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for key, value in facts(done):
        if key == "job":
            found.append([])
        if key == "request":
            name, _, text = value.partition(" ")
            (own,) = (report for report in found if report[0] == ("job", name))
            own.append((key, text))
        else:
            found[-1].append((key, value))
    return found


def test_every_job_is_reported(call: Call, job: Path, tmp_path: Path, gate: Path) -> None:
    launch(call, job, "exit 3", "echo never")
    launch(call, job.with_name("j2"), f"cat {gate}")
    wait_for(lambda: state(call, job) == "ended")
    (alive,) = report_jobs(call)
    assert dict(alive)["state"] == "running"
    both = {dict(report)["job"]: dict(report) for report in report_jobs(call, "all")}
    assert both["j1"]["request"] == '{"job": "j1"}'
    assert int(both["j1"]["age"]) < 60
    exits = [value for report in report_jobs(call, "all") for key, value in report if key == "exit"]
    assert exits == ["3", "pending", "pending"]
    gate.write_text("")
    wait_for(lambda: state(call, job.with_name("j2")) == "ended")


@pytest.mark.parametrize(
    ("marks", "killed"),
    [
        ({"refused": "input x does not exist"}, None),
        ({"timedout": ""}, "time"),
        ({"inspect": "exited 137 true "}, "memory"),
        ({"inspect.exited,137,true": ""}, "memory"),
        ({"inspect": "exited 3 true "}, None),
        ({"inspect": "exited 143 false ", "restarted": ""}, "engine"),
        ({"inspect": "exited 5 false ", "restarted": ""}, None),
        ({}, None),
    ],
)
def test_what_killed_a_task_is_reported(
    call: Call, job: Path, marks: dict[str, str], killed: str | None
) -> None:
    task = job / "tasks/1"
    task.mkdir(parents=True)
    (task / "exit.137").touch()
    for name, text in {"name": "train", **marks}.items():
        (task / name).write_text(text)
    (report,) = report_jobs(call, "all")
    assert dict(report).get("killed") == killed


@pytest.mark.parametrize("mark", ["refused", "unsafe", "stale"])
def test_why_a_task_failed_without_its_program_is_reported(
    call: Call, job: Path, mark: str
) -> None:
    task = job / "tasks/1"
    task.mkdir(parents=True)
    for name in ("exit.119", "name", mark):
        (task / name).touch()
    (report,) = report_jobs(call, "all")
    assert dict(report)["failed"] == mark


def test_why_a_job_is_lost_is_reported(call: Call, job: Path, tmp_path: Path) -> None:
    launch(call, job, "sleep 30")
    group = job / "tasks/1/group"
    wait_for(lambda: group.exists() and group.read_text())
    kill_supervisor(job)
    os.killpg(int(group.read_text()), signal.SIGKILL)
    wait_for(lambda: state(call, job) == "lost")
    (report,) = report_jobs(call, "all")
    assert dict(report)["lost"] == "gone"
    (tmp_path / ".mlcube-remote-boot-id").write_text("another-boot\n")
    (report,) = report_jobs(call, "all")
    assert (dict(report)["state"], dict(report)["lost"]) == ("lost", "reboot")


def test_a_request_is_reported_once_its_client_is_known(call: Call, job: Path) -> None:
    job.mkdir(parents=True)
    (job / "request").write_text('{"half')
    (found,) = report_jobs(call)
    assert "request" not in dict(found)
    (job / "preparing").write_text("this 1 2 here\n")
    (found,) = report_jobs(call, "all")
    assert "request" in dict(found)


def test_many_jobs_are_reported_by_few_processes(call: Call, job: Path, tmp_path: Path) -> None:
    names = ["j1", "j1-a", "j1.2", "j2", *(f"many-{number}" for number in range(100))]
    for number, name in enumerate(names):
        other = job.with_name(name)
        (other / "tasks/1").mkdir(parents=True)
        for file, text in {
            "request": f'{{"n": {number}}}\n',
            "preparing": "x",
            "owner": "x",
        }.items():
            (other / file).write_text(text)
        age(other / "request", 100 * number)
        for file in ("exit.0", "name", "started", "finished"):
            (other / "tasks/1" / file).write_text("12\n345678901\n")
    (job.with_name("no request") / "tasks").mkdir(parents=True)
    (job.with_name("no-request") / "tasks").mkdir(parents=True)
    counter = tmp_path / "bin"
    counter.mkdir()
    for program in ("stat", "find", "cat", "date", "touch", "head", "sed", "grep"):
        wrapper = counter / program
        wrapper.write_text(
            f'#!/bin/sh\necho {program} >>{tmp_path}/log\nexec {shutil.which(program)} "$@"\n'
        )
        wrapper.chmod(0o755)
    path = f"{counter}:{os.environ['PATH']}"
    done = call("mlcr_report_jobs", "~", "all", PATH=path)
    reports = {dict(each)["job"]: dict(each) for each in grouped(done)}
    assert reports.keys() == {*names, "no-request"}
    for number, name in enumerate(names):
        report = reports[name]
        assert report["request"] == f'{{"n": {number}}}'
        assert int(report["age"]) // 100 == number
        assert report["finished"] == "12.345"
    assert reports["no-request"]["age"] == "0"
    assert len((tmp_path / "log").read_text().splitlines()) < 12


def test_the_report_of_a_failed_task_has_the_end_of_stderr(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "j"
    launch(call, job, "yes | head -n 9000 >&2; printf 'a\\000b\\nlast' >&2; exit 4")
    wait_for((job / "tasks/1/exit.4").exists)
    tail = task_report(call, job)["tail"]
    assert tail.endswith("y\nab\nlast")
    assert len(tail) <= 4096


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1795461442\n123456789\n", "1795461442.123"),
        ("1795461442\n000000001\n", "1795461442.000"),
        ("1795461442\n%N\n", "1795461442"),  # BusyBox
        ("1795461442\nN\n", "1795461442"),  # BSD
        ("1795461442\n", "1795461442"),  # earlier versions
        ("1795461442", "1795461442"),
    ],
)
def test_times_have_milliseconds_if_the_host_knows_them(
    call: Call, job: Path, text: str, expected: str
) -> None:
    launch(call, job, "true")
    wait_for(lambda: state(call, job) == "ended")
    (job / "tasks/1/started").write_text(text)
    assert task_report(call, job)["started"] == expected
    answer = call("mlcr_report_jobs", str(job.parents[1]), "all").stdout.decode()
    assert f"\0started={expected}\0" in answer


def test_the_supervisor_writes_the_time_in_two_lines(call: Call, job: Path) -> None:
    launch(call, job, "sleep 0.3")
    wait_for(lambda: state(call, job) == "ended")
    report = task_report(call, job)
    assert 0.3 <= float(report["finished"]) - float(report["started"]) < 20
    # Earlier versions read the first line.
    assert (job / "tasks/1/started").read_text().splitlines()[0].isdigit()
