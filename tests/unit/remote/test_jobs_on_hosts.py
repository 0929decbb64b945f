# SPDX-License-Identifier: Apache-2.0
"""Jobs as their hosts know them: claimed once, held while they live, never said to run in vain."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlcube_remote.remote import library
from mlcube_remote.transport.quoting import quote_words, render_call
from tests.support.waiting import wait_for
from tests.unit.remote.conftest import (
    Call,
    Completed,
    facts,
    kill_supervisor,
    launch,
    records,
    reserve,
    state,
    verdict,
)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "jobs" / "j1"


@contextlib.contextmanager
def connected(job: Path, lock: Path, group: str = "") -> Iterator[None]:
    """Claim a job and a lock by a connection that lasts as long as the block."""
    job.parent.mkdir(exist_ok=True)
    script = library().encode() + render_call("mlcr_claim_job", [str(job), "{}", str(lock), group])
    client = subprocess.Popen(["sh", "-c", "sh -s; exec sleep 60"], stdin=subprocess.PIPE)
    try:
        assert client.stdin is not None
        with client.stdin as stdin:
            stdin.write(script)
        wait_for((job / "request").exists)
        yield
    finally:
        client.kill()
        client.wait()


def test_a_claimed_job_stands_as_its_client_does(call: Call, job: Path) -> None:
    with connected(job, job.parent.parent / "lock"):
        assert state(call, job) == "preparing"
    assert state(call, job) == "abandoned"
    assert reserve(call, job).returncode == 17
    assert state(call, job.with_name("other")) == "absent"


def test_a_workspace_is_held_by_one_live_job(call: Call, job: Path, tmp_path: Path) -> None:
    lock, other = tmp_path / "lock", job.with_name("j2")
    with connected(job, lock):
        refused = reserve(call, other, lock)
        told = dict(records(refused))
        assert refused.returncode == 16
        assert (told["holder"], told["state"], told["request"]) == ("j1", "preparing", "{}")
        assert not other.exists(), "it can be tried again"
    assert reserve(call, other, lock).returncode == 0, "a dead holder holds nothing"


def test_a_job_that_runs_holds_its_workspace_until_it_has_ended(
    call: Call, job: Path, tmp_path: Path, gate: Path
) -> None:
    lock, other = tmp_path / "lock", job.with_name("j2")
    assert reserve(call, job, lock).returncode == 0
    assert launch(call, job, f"cat {gate}").returncode == 0
    assert state(call, job) == "running"
    assert dict(records(reserve(call, other, lock)))["holder"] == "j1"
    gate.write_text("")
    wait_for(lambda: state(call, job) == "ended")
    assert reserve(call, other, lock).returncode == 0


def test_of_many_that_want_a_workspace_at_once_one_gets_it(tmp_path: Path) -> None:
    jobs, lock = tmp_path / "jobs", tmp_path / "lock"
    jobs.mkdir()
    lock.mkdir()
    (lock / "first").write_text("dead1\n")
    (lock / "after.dead1").write_text("dead2\n")
    script = f'{library()}mlcr_claim_job "$1" "{{}}" "$2" >/dev/null; echo "$?"; cat >/dev/null'
    clients = [
        subprocess.Popen(
            # The outer shell is the connection, which lives until its input ends.
            ["sh", "-c", 'sh -c "$0" sh "$@"; :', script, str(jobs / f"j{number}"), str(lock)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(12)
    ]
    codes = []
    for client in clients:
        assert client.stdout is not None
        codes.append(int(client.stdout.readline()))
    for client in clients:
        client.communicate(timeout=30)
    assert sorted(codes) == [0, *[16] * 11]


def test_a_job_is_stopped_before_it_was_launched(call: Call, job: Path) -> None:
    with connected(job, job.parent.parent / "lock"):
        assert dict(facts(call("mlcr_stop_job", str(job), "1")))["stopped"] == "yes"
        launch(call, job, "echo never")
        wait_for(lambda: state(call, job) == "ended")
    told = verdict(call, job)
    assert (told["exit"], told["stop"], told["stdout"]) == ("pending", "yes", "0")
    assert dict(facts(call("mlcr_stop_job", str(job), "1")))["stopped"] == "nothing"


def test_a_task_ends_when_its_time_is_over(call: Call, job: Path) -> None:
    began = time.monotonic()
    launch(call, job, "sleep 60", "echo never", timeout="1")
    wait_for(lambda: state(call, job) == "ended")
    assert time.monotonic() - began < 15
    told = verdict(call, job)
    assert (told["exit"], told["timedout"]) == ("143", "yes")
    assert verdict(call, job, 2)["exit"] == "pending"


def test_a_task_that_is_quick_leaves_no_watch_behind(call: Call, job: Path) -> None:
    launch(call, job, "true", timeout="34567")
    wait_for(lambda: state(call, job) == "ended")
    wait_for(lambda: b"34567" not in subprocess.run(["ps", "ax"], stdout=-1, check=True).stdout)
    assert "timedout" not in verdict(call, job)


@pytest.mark.parametrize("size", [0, 511, 512, 100_000])
def test_a_log_within_its_limit_is_kept_to_the_byte(call: Call, job: Path, size: int) -> None:
    launch(call, job, f"head -c {size} /dev/zero; echo err >&2", limit=100_352)
    wait_for(lambda: state(call, job) == "ended")
    told = verdict(call, job)
    assert (told["stdout"], told["stderr"], told.get("cut")) == (str(size), "4", None)


def test_a_log_beyond_its_limit_is_cut_and_says_so_while_the_task_goes_on(
    call: Call, job: Path
) -> None:
    launch(call, job, "head -c 5000000 /dev/zero; echo done >&2; exit 3", limit=4096)
    wait_for(lambda: state(call, job) == "ended")
    told = verdict(call, job)
    log = (job / "tasks/1/stdout").read_bytes()
    assert (told["exit"], told["cut"]) == ("3", "yes")
    # Shells count the limit in blocks of 512 or of 1024 bytes.
    assert log.startswith(bytes(4096))
    assert log.count(0) in {4096, 8192}
    assert b"the log is cut here" in log
    assert (job / "tasks/1/stderr").read_bytes() == b"done\n"


def test_a_full_disk_neither_ends_nor_blocks_the_task(call: Call, job: Path) -> None:
    launch(call, job, "true")
    wait_for(lambda: state(call, job) == "ended")
    other = job.with_name("full")
    launch(call, other, "sleep 0.3; head -c 3000000 /dev/zero; exit 4", limit=10**9)
    (other / "tasks/1/stdout").unlink()
    (other / "tasks/1/stdout").symlink_to("/dev/full")
    wait_for(lambda: state(call, other) == "ended")
    assert [path.name for path in (other / "tasks/1").glob("exit.*")] == ["exit.4"]


def _in_container(call: Call, job: Path, engine: Path, gate: Path) -> None:
    """Start a task in the fake engine's container, which runs until the gate opens."""
    (engine.parent / "state").write_text("running 0 false \n")
    script = f"printf abc123 >{job}/tasks/1/cid; cat {gate}; exit 7"
    launch(call, job, script, "echo next", engine=str(engine), container="c")
    wait_for((job / "tasks/1/cid").exists)


def test_a_container_that_outlived_its_supervisor_is_adopted_once(
    call: Call, job: Path, engine: Path, tmp_path: Path, gate: Path
) -> None:
    _in_container(call, job, engine, gate)
    kill_supervisor(job)
    assert state(call, job) == "orphaned"
    told = verdict(call, job)
    assert (told["alive"], told["container"].strip()) == ("no", "running 0 false")
    for _ in range(3):
        assert call("mlcr_adopt_task", str(job), "1").returncode == 0
    wait_for(lambda: state(call, job) == "running")
    (engine.parent / "state").write_text("exited 7 false \n")
    wait_for(lambda: state(call, job) == "ended")
    told = verdict(call, job)
    assert (told["exit"], told["log"], told["inspect"].strip()) == (
        "7",
        "degraded",
        "exited 7 false",
    )
    assert len(list(job.glob("adopted.*"))) == 1
    gate.write_text("")


def test_an_engine_may_hear_late_that_memory_ran_out(call: Call, job: Path, engine: Path) -> None:
    late = f"(sleep 0.3; echo exited 137 true >{engine.parent}/state)"
    (engine.parent / "state").write_text("exited 137 false \n")
    script = f"echo cid >{job}/tasks/1/cid; {late} >/dev/null 2>&1 & exit 137"
    launch(call, job, script, engine=str(engine), container="c")
    wait_for(lambda: state(call, job) == "ended")
    assert verdict(call, job)["inspect"].strip() == "exited 137 true"


def test_a_container_that_somebody_removed_is_lost(
    call: Call, job: Path, engine: Path, tmp_path: Path, gate: Path
) -> None:
    _in_container(call, job, engine, gate)
    kill_supervisor(job)
    (engine.parent / "state").unlink()
    assert state(call, job) == "lost"
    assert verdict(call, job)["container"] == "absent"


def test_an_engine_that_hangs_leaves_open_what_became_of_the_task(
    call: Call, job: Path, engine: Path, gate: Path
) -> None:
    launch(call, job, f"cat {gate}", engine=str(engine), container="c")
    kill_supervisor(job)
    engine.write_text("#!/bin/sh\nexec sleep 60\n")
    began = time.monotonic()
    told = dict(facts(call("mlcr_report_task", str(job), "1", mlcr_timeout_s="1")))
    assert (told["exit"], told["alive"], told["container"]) == ("pending", "no", "unknown")
    assert call("mlcr_print_job_state", str(job), mlcr_timeout_s="1").stdout == b"orphaned\n"
    assert time.monotonic() - began < 20


def test_after_a_reboot_nothing_is_said_to_run(
    call: Call, job: Path, tmp_path: Path, gate: Path
) -> None:
    launch(call, job, f"cat {gate}")
    wait_for((job / "owner").exists)
    (tmp_path / ".mlcube-remote-boot-id").write_text("another-boot\n")
    assert state(call, job) == "lost"
    told = verdict(call, job)
    assert (told["exit"], told["alive"], told["boot"]) == ("pending", "no", "changed")
    gate.write_text("")


def test_a_job_of_another_machine_with_this_home_is_not_judged_here(call: Call, job: Path) -> None:
    reserve(call, job)
    (job / "preparing").write_text("boot 1 2 another-node\n")
    assert state(call, job) == "elsewhere"
    lock = job.parent.parent / "lock"
    lock.mkdir()
    (lock / "first").write_text("j1\n")
    refused = reserve(call, job.with_name("j2"), lock)
    assert refused.returncode == 16
    assert dict(records(refused))["node"] == "another-node"


def test_a_task_of_another_machine_is_neither_called_dead_nor_stopped_here(
    call: Call, job: Path, gate: Path
) -> None:
    launch(call, job, f"cat {gate}")
    wait_for((job / "owner").exists)
    (job / "owner").write_text("boot 1 2 another-node\n")
    assert state(call, job) == "elsewhere"
    told = verdict(call, job)
    assert (told["alive"], told["node"]) == ("no", "another-node")
    assert told.keys().isdisjoint({"boot", "container"})
    assert dict(facts(call("mlcr_stop_job", str(job), "1"))) == {"node": "another-node"}
    assert not (job / "stop").exists()
    gate.write_text("")
    wait_for(lambda: state(call, job) == "ended")


def _surveyed(call: Call, *words: str) -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for key, value in facts(call("mlcr_report_jobs", "~", *words)):
        if key == "job":
            found.append([])
        found[-1].append((key, value))
    return found


def test_a_survey_tells_of_every_job(call: Call, job: Path, tmp_path: Path, gate: Path) -> None:
    launch(call, job, "exit 3", "echo never")
    launch(call, job.with_name("j2"), f"cat {gate}")
    wait_for(lambda: state(call, job) == "ended")
    (alive,) = _surveyed(call)
    assert dict(alive)["state"] == "running"
    both = {dict(told)["job"]: dict(told) for told in _surveyed(call, "all")}
    assert both["j1"]["request"] == '{"job": "j1"}'
    assert int(both["j1"]["age"]) < 60
    exits = [value for told in _surveyed(call, "all") for key, value in told if key == "exit"]
    assert exits == ["3", "pending", "pending"]
    gate.write_text("")
    wait_for(lambda: state(call, job.with_name("j2")) == "ended")


@pytest.mark.parametrize(
    ("marks", "killed"),
    [
        ({"timedout": ""}, "time"),
        ({"inspect": "exited 137 true "}, "memory"),
        ({"inspect.exited,137,true": ""}, "memory"),
        ({"inspect": "exited 3 true "}, None),
        ({"inspect": "exited 143 false ", "restarted": ""}, "engine"),
        ({"inspect": "exited 5 false ", "restarted": ""}, None),
        ({}, None),
    ],
)
def test_a_survey_tells_what_ended_a_task_but_itself(
    call: Call, job: Path, marks: dict[str, str], killed: str | None
) -> None:
    task = job / "tasks/1"
    task.mkdir(parents=True)
    (task / "exit.137").touch()
    for name, text in {"name": "train", **marks}.items():
        (task / name).write_text(text)
    (told,) = _surveyed(call, "all")
    assert dict(told).get("killed") == killed


def test_only_what_has_ended_is_removed(call: Call, job: Path, tmp_path: Path, gate: Path) -> None:
    launch(call, job, f"cat {gate}")
    assert call("mlcr_remove_job", "~", "j1").returncode == 18
    gate.write_text("")
    wait_for(lambda: state(call, job) == "ended")
    assert call("mlcr_remove_job", "~", "j1").returncode == 0
    assert list(job.parent.iterdir()) == []
    assert call("mlcr_remove_job", "~", "j1").returncode == 1


@pytest.mark.parametrize("name", ["", ".", "..", "../jobs/j1", "/etc", ".hidden"])
def test_nothing_but_a_job_is_removed(call: Call, job: Path, name: str) -> None:
    launch(call, job, "true")
    wait_for(lambda: state(call, job) == "ended")
    assert call("mlcr_remove_job", "~", name).returncode == 1
    assert job.exists()


def test_the_last_lines_of_a_log_are_found(call: Call, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\nthree\n")
    assert call("mlcr_print_tail_offset", str(log), "2").stdout == b"4\n"
    assert call("mlcr_print_tail_offset", str(log), "0").stdout == b"14\n"
    assert call("mlcr_print_tail_offset", str(log), "9").stdout == b"0\n"
    assert call("mlcr_print_tail_offset", str(tmp_path / "none"), "9").stdout == b"0\n"


def test_two_that_launch_one_job_start_it_once(call: Call, job: Path, tmp_path: Path) -> None:
    reserve(call, job)
    done: list[Completed] = []

    def race() -> None:
        done.append(launch(call, job, f"echo x >>{tmp_path}/count"))

    racers = [threading.Thread(target=race) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    wait_for(lambda: state(call, job) == "ended")
    assert sorted(each.returncode for each in done) == [0, 17, 17, 17]
    assert (tmp_path / "count").read_text() == "x\n"


def test_a_launch_that_is_sent_again_makes_nothing(call: Call, job: Path, tmp_path: Path) -> None:
    launch(call, job, "true")
    late = tmp_path / "made late"
    assert launch(call, job, "true", expected=quote_words(["0", str(late)])).returncode == 17
    assert not late.exists()


def test_a_launch_that_cannot_be_begun_says_why_and_can_be_sent_again(
    call: Call, job: Path
) -> None:
    reserve(call, job)
    (job / "tasks.new").touch()
    refused = launch(call, job, "true")
    assert (refused.returncode, state(call, job)) == (1, "preparing")
    assert b"tasks.new" in refused.stderr
    assert launch(call, job, "true").returncode == 0


def test_a_request_is_told_once_it_is_said_whose_it_is(call: Call, job: Path) -> None:
    job.mkdir(parents=True)
    (job / "request").write_text('{"half')
    (found,) = _surveyed(call)
    assert "request" not in dict(found)
    (job / "preparing").write_text("this 1 2 here\n")
    (found,) = _surveyed(call, "all")
    assert "request" in dict(found)


@pytest.mark.parametrize("entry", ["first", "after.gone"])
def test_a_lock_that_lost_its_content_is_mended(
    call: Call, job: Path, tmp_path: Path, entry: str
) -> None:
    lock = tmp_path / "lock"
    lock.mkdir()
    (lock / "first").write_text("gone\n")
    (lock / entry).write_text("")
    assert reserve(call, job, lock).returncode == 0
    assert (lock / "first").read_text() == "j1\n"


def test_a_supervisor_that_cannot_say_its_name_starts_nothing(call: Call, job: Path) -> None:
    reserve(call, job)
    (job / "owner.new").mkdir()
    launch(call, job, "echo never")
    time.sleep(0.5)
    assert verdict(call, job)["stdout"] == "0"
    assert not (job / "tasks/1/started").exists()


def test_an_adopter_that_died_at_once_is_followed_by_another(
    call: Call, job: Path, engine: Path, gate: Path
) -> None:
    _in_container(call, job, engine, gate)
    kill_supervisor(job)
    dead = (job / "owner").read_text().split()[1]
    (job / f"adopted.{dead}.1").mkdir()
    assert call("mlcr_adopt_task", str(job), "1").returncode == 0
    assert not (job / f"adopted.{dead}.2").exists(), "it may still be about to start"
    os.utime(job / f"adopted.{dead}.1", (1, 1))
    call("mlcr_adopt_task", str(job), "1")
    wait_for(lambda: state(call, job) == "running")
    (engine.parent / "state").write_text("exited 7 false \n")
    wait_for(lambda: state(call, job) == "ended")


def test_what_was_kept_in_a_name_is_understood(
    call: Call, job: Path, engine: Path, gate: Path
) -> None:
    _in_container(call, job, engine, gate)
    kill_supervisor(job)
    # Nothing can be published under this name, as on a full disk.
    (job / "tasks/1/inspect.new").mkdir()
    (engine.parent / "state").write_text("exited 0 false \n")
    call("mlcr_adopt_task", str(job), "1")
    wait_for((job / "tasks/1/exit.0").exists)
    assert verdict(call, job)["inspect"].split() == ["exited", "0", "false"]


def test_a_time_limit_survives_a_disk_that_took_no_note_of_the_beginning(
    call: Call, job: Path
) -> None:
    reserve(call, job)
    launch(call, job, "sleep 60", timeout="1")
    (job / "tasks/1/started").unlink(missing_ok=True)
    wait_for(lambda: state(call, job) == "ended")
    assert verdict(call, job)["timedout"] == "yes"


def test_jobs_of_one_run_share_a_workspace_which_others_get_after_the_last(
    call: Call, tmp_path: Path
) -> None:
    jobs, lock = tmp_path / "jobs", tmp_path / "lock"

    def claim(name: str, group: str) -> dict[str, str]:
        done = call("mlcr_claim_job", str(jobs / name), "{}", str(lock), group)
        return {"code": str(done.returncode), **dict(records(done))}

    def holds(name: str) -> bool:
        file = lock / "first"
        return file.exists() and file.read_text().startswith(name)

    with connected(jobs / "run1-a", lock, "run1"):
        wait_for(lambda: holds("run1-a run1"))
        with connected(jobs / "run1-b", lock, "run1"):
            wait_for(lambda: holds("run1-b run1"))
            assert claim("run2-a", "run2")["holder"] == "run1-b"
        assert claim("run2-a", "run2") == {
            "code": "16",
            "holder": "run1-a",
            "state": "preparing",
            "request": "{}",
        }, "the last that took it is gone, but another of its run lives"
        assert claim("alone", "")["code"] == "16"
        with connected(jobs / "run1-c", lock, "run1"):
            wait_for(lambda: holds("run1-c"))
    with connected(jobs / "run2-a", lock, "run2"):
        wait_for(lambda: holds("run2-a"))
        assert claim("run1-d", "run1")["code"] == "16"
    assert claim("run1-d", "run1")["kept"] == "", "others had it in between"
    assert claim("run1-e", "run1")["kept"] == "yes"


def test_of_many_jobs_of_one_run_all_get_the_workspace_at_once(tmp_path: Path) -> None:
    jobs, lock = tmp_path / "jobs", tmp_path / "lock"
    jobs.mkdir()
    script = (
        f'{library()}mlcr_claim_job "$1" "{{}}" "$2" "$3" >/dev/null; echo "$?"; cat >/dev/null'
    )
    clients = [
        subprocess.Popen(
            ["sh", "-c", 'sh -c "$0" sh "$@"; :', script, str(jobs / name), str(lock), name[:4]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in (f"run{number % 2}-{number}" for number in range(12))
    ]
    codes = []
    for client in clients:
        assert client.stdout is not None
        codes.append(int(client.stdout.readline()))
    for client in clients:
        client.communicate(timeout=30)
    assert sorted(codes) == [*[0] * 6, *[16] * 6]
    assert {codes[number] for number in range(0, 12, 2)} != {codes[1]}, "one run, not some of both"


def test_a_file_is_written_in_pieces(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "a b" / "c"
    assert call("mlcr_write_file", str(file), "anew", "one\n").returncode == 0
    assert call("mlcr_write_file", str(file), "append", "-n %s").returncode == 0
    assert file.read_text() == "one\n-n %s"
    assert file.parent.stat().st_mode & 0o777 == 0o755, "a container's user may read it"
    assert call("mlcr_write_file", str(file), "anew", "").returncode == 0
    assert file.read_text() == ""


def test_a_job_that_will_not_be_launched_is_given_back(call: Call, job: Path) -> None:
    lock = job.parent.parent / "lock"
    reserve(call, job, lock)
    assert call("mlcr_release_job", str(job)).returncode == 0
    assert state(call, job) == "absent"
    assert reserve(call, job.with_name("next"), lock).returncode == 0
    launched = job.with_name("launched")
    assert launch(call, launched, "true").returncode == 0
    assert call("mlcr_release_job", str(launched)).returncode == 17
    wait_for(lambda: state(call, launched) == "ended")
