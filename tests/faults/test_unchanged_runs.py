# SPDX-License-Identifier: Apache-2.0
"""Faults that meet a run in the one call that compares everything and starts the job."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from mlcube_remote.files.sent_names import MAX_NAMES
from mlcube_remote.runs.ids import new_run_id
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.interrupted_runs import (
    Completed,
    Scenario,
    behind,
    finish,
    on_both_transports,
)
from tests.support.waiting import wait_for
from tests.support.wire import wire_to

if TYPE_CHECKING:
    from tests.support.hosts import Executed, HostFactory, SshHost

LINES = 200
EXPECTED = "".join(f"line {number}\n" for number in range(1, LINES + 1))
COUNT = shell_task(
    f'echo x >>"${{0#*=}}"; n=0; while [ $n -lt {LINES} ]; do n=$((n+1)); echo "line $n"; done; '
    'echo "$n" >"${1#*=}"',
    outputs={
        "runs": {**FILE, "default": "runs.txt"},
        "total": {**FILE, "default": "total.txt"},
    },
)
ONE_CALL = "start: nothing has changed"
CUTS = 6
"""Number of places in the traffic of a run at which a fault happens."""


@attrs.define
class WarmCube:
    """A cube that has run on its host before."""

    scenario: Scenario
    starts: int = 0
    """How often its task has started."""

    def run(self, *options: str) -> Completed:
        return self.check(self.scenario.call("run", *options))

    def check(self, done: Completed) -> Completed:
        """Check that the task has run once more, and that everything has arrived."""
        self.starts += 1
        assert done.returncode == 0, done.stderr
        assert done.stdout == EXPECTED
        assert self.scenario.made("total.txt") == f"{LINES}\n"
        assert self.scenario.made("runs.txt") == "x\n" * self.starts
        return done

    def held_runs(self) -> Iterator[tuple[str, subprocess.Popen[str]]]:
        """Start a run and hold it, each time after a larger part of its traffic.

        Yields:
            The run's id and its client. A client that needs fewer bytes than the first one has
            ended.
        """
        wire = self.scenario.wire
        begin = wire.relayed
        self.run()
        length = wire.relayed - begin
        for number in range(1, CUTS + 1):
            run_id = new_run_id()
            wire.holds_at = end = wire.relayed + length * number // CUTS
            with self.scenario.client("run", f"--run-id={run_id}") as client:
                while wire.relayed < end and client.poll() is None:
                    time.sleep(0.02)
                yield run_id, client


@pytest.fixture
def warm(scenario: Scenario) -> WarmCube:
    warm = WarmCube(scenario)
    write_cube(scenario.cube, {"count": COUNT})
    warm.run()
    warm.run()  # the cube was new, so that the first run has remembered nothing
    assert ONE_CALL in warm.run("--verbose").stderr
    return warm


def cut(scenario: Scenario) -> None:
    """Cut the connection, and let the next one pass."""
    scenario.wire.cut()
    scenario.wire.holds_at = None
    scenario.wire.restore()


def test_outputs_of_earlier_runs_on_many_hosts_are_no_change(warm: WarmCube) -> None:
    for number in range(MAX_NAMES + 1):
        (warm.scenario.cube / f"results/earlier/host{number}").mkdir(parents=True)
    warm.run()
    assert ONE_CALL in warm.run("--verbose").stderr


@on_both_transports
def test_the_connection_may_break_at_any_byte(warm: WarmCube) -> None:
    for run_id, client in warm.held_runs():
        cut(warm.scenario)
        done = finish(client)
        if done.returncode == 120:  # it broke during the login
            assert not done.stdout
            done = warm.scenario.call("run", f"--run-id={run_id}")
        warm.check(done)


def test_a_client_may_be_killed_at_any_byte(warm: WarmCube) -> None:
    for run_id, client in warm.held_runs():
        client.kill()
        cut(warm.scenario)
        warm.check(warm.scenario.call("run", f"--run-id={run_id}"))


@on_both_transports
def test_the_connection_may_go_silent_during_the_call(warm: WarmCube) -> None:
    wire = warm.scenario.wire
    begin = wire.relayed
    warm.run()
    wire.holds_at = wire.relayed + (wire.relayed - begin) * 3 // 4
    with warm.scenario.client("run") as client:
        wait_for(lambda: wire.relayed >= (wire.holds_at or 0))
        wire.silence()
        wire.holds_at = None
        done = finish(client)
    warm.check(done)
    assert "connected again" in done.stderr


def test_a_disk_without_room_is_reported_wherever_it_is_noticed(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host("few-inodes", private=True)
    cube = write_cube(tmp_path / "cube", {"count": COUNT})
    with wire_to(host.port) as wire:
        inventory = behind(host, wire, tmp_path)
        warm = WarmCube(Scenario(host=host, wire=wire, cube=cube, inventory=inventory))
        warm.run()
        warm.run()  # the cube was new, so that the first run has remembered nothing
        assert in_home(host, "rm -r .mlcube-remote/jobs/*").exit_code == 0  # their inodes
        for left in (0, 1, 2, 4, 9, 15):
            fill = "mkdir fill; cd fill; n=0; while true >$n; do n=$((n+1)); done"
            assert b"No space left" in in_home(host, f"{fill}; rm -f $(seq {left})").output
            full = warm.scenario.call("run", "--verbose")
            assert in_home(host, "rm -r fill").exit_code == 0
            assert full.returncode in {121, 122}, full.stderr
            assert "has changed since an earlier run" in full.stderr
            assert "No space left on device" in full.stderr
            assert full.stdout == ""
        warm.run()


def in_home(host: SshHost, script: str) -> Executed:
    return host.exec(["su", "mlcube", "-c", f"cd && {script}"])


@attrs.frozen
class ShownFile:
    """A cube that shows an input, and the copy of the input on the host."""

    scenario: Scenario
    here: Path
    there: Path

    def run(self, *options: str) -> Completed:
        done = self.scenario.call("run", *options)
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture
def shown(scenario: Scenario) -> ShownFile:
    name = f"shown-{new_run_id()[-8:]}"  # no other test has this name
    task = shell_task('cat "${0#*=}"', inputs={"config": {**FILE, "default": "config"}})
    write_cube(scenario.cube, {"count": task}, name=name)
    here = scenario.cube / "workspace/config"
    here.write_text("lr=1\n")
    scenario.call("run")
    (there,) = scenario.host.home.glob(f".mlcube-remote/cubes/{name}-*/workspace/config")
    shown = ShownFile(scenario, here, there)
    shown.run()
    assert ONE_CALL in shown.run("--verbose").stderr
    return shown


def write_with_old_times(path: Path) -> None:
    """Replace a file by one of the same size and times."""
    about = path.stat()
    other = path.with_name("other")
    other.write_text("lr=9\n")
    shutil.copystat(path, other)
    os.chown(other, about.st_uid, about.st_gid)
    other.replace(path)


def write_in_place(path: Path) -> None:
    path.write_text("lr=9\n")


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [write_with_old_times, write_in_place, remove])
def test_a_mirror_that_somebody_changed_is_repaired(
    shown: ShownFile, change: Callable[[Path], None]
) -> None:
    change(shown.there)
    assert shown.run().stdout == "lr=1\n"


@pytest.mark.parametrize("change", [write_with_old_times, write_in_place])
def test_a_file_that_was_edited_here_is_sent(
    shown: ShownFile, change: Callable[[Path], None]
) -> None:
    change(shown.here)
    assert shown.run().stdout == "lr=9\n"


def edit_during_login(shown: ShownFile, change: Callable[[], object]) -> Completed:
    """Change something while a run waits for its login, after it has looked at the cube."""
    wire = shown.scenario.wire
    wire.holds_at = wire.relayed
    with shown.scenario.client("run") as client:
        time.sleep(2)
        change()
        wire.holds_at = None
        done = finish(client)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("change", [write_with_old_times, write_in_place])
def test_a_file_that_is_edited_during_the_login_is_sent(
    shown: ShownFile, change: Callable[[Path], None]
) -> None:
    assert edit_during_login(shown, lambda: change(shown.here)).stdout == "lr=9\n"


def test_a_pattern_that_is_removed_during_the_login_does_not_count(shown: ShownFile) -> None:
    ignored = shown.scenario.cube / ".mlcubeignore"
    ignored.write_text(".*\n/workspace/more\n")
    shown.here.with_name("more").write_text("more\n")
    shown.run()
    assert ONE_CALL in shown.run("--verbose").stderr
    there = shown.there.with_name("more")
    assert not there.exists()
    edit_during_login(shown, lambda: ignored.write_text(".*\n"))
    assert there.read_text() == "more\n"


def test_a_backup_that_is_restored_there_is_noticed(shown: ShownFile) -> None:
    mirror = shown.there.parents[1]
    backup = mirror.with_name(f"{mirror.name}.backup")
    copy = ["cp", "-a", str(mirror), str(backup)]
    assert shown.scenario.host.exec(copy).exit_code == 0
    shown.here.write_text("lr=22\n")
    assert shown.run().stdout == "lr=22\n"
    time.sleep(0.1)
    assert shown.run().stdout == "lr=22\n"
    for argv in (["rm", "-r", str(mirror)], ["mv", str(backup), str(mirror)]):
        assert shown.scenario.host.exec(argv).exit_code == 0
    assert shown.run().stdout == "lr=22\n"


def test_two_clients_each_run_what_they_have(
    shown: ShownFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both send the same directory, and each one remembers for itself what it has sent."""
    for number in range(2):
        shown.here.write_text(f"first {number}\n")
        assert shown.run().stdout == f"first {number}\n"
        with monkeypatch.context() as other:
            other.setenv("XDG_STATE_HOME", str(tmp_path / "another client"))
            shown.here.write_text(f"other {number}\n")
            assert shown.run().stdout == f"other {number}\n"
        shown.here.write_text(f"first {number}\n")
        assert shown.run().stdout == f"first {number}\n"
