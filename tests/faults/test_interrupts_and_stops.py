# SPDX-License-Identifier: Apache-2.0
"""Interrupts, stops and time limits."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import attrs
import pytest

from mlcube_remote.sandbox.engine import docker
from tests.support.both_paths import on_both_paths
from tests.support.cubes import shell_task, write_cube
from tests.support.interrupted_runs import (
    GATE,
    Scenario,
    finish,
    read_client,
    run_id_in,
)
from tests.support.terminal import ClientOnTerminal, lines_on_screen


@on_both_paths
def test_a_run_is_stopped_once_and_for_all(gated: Scenario) -> None:
    run_id = gated.call("run", "--detach").stdout.strip()
    stopped = gated.call("stop", "--grace=1s", run_id)
    assert stopped.returncode == 0, stopped.stderr
    assert "cancelled" in stopped.stderr
    again = gated.call("stop", run_id)
    assert again.returncode == 0
    assert "nothing to do" in again.stderr
    assert (
        docker("ps", "--quiet", "--filter", f"label=org.mlcommons.mlcube-remote.run={run_id}") == ""
    )
    assert gated.call("wait", run_id).returncode == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_client_that_is_asked_to_end_leaves_its_jobs_alone(gated: Scenario, number: int) -> None:
    with gated.client("run") as client:
        read_client(client, f"line {GATE}\n")
        client.send_signal(number)
        done = finish(client)
    assert done.returncode == 130
    run_id = run_id_in(done.stderr)
    assert "still runs on" in done.stderr
    gated.go()
    gated.require_one_whole_run(gated.call("attach", run_id))


def test_an_interrupt_may_mean_to_detach(gated: Scenario) -> None:
    with gated.client("run", "--on-interrupt=detach") as client:
        read_client(client, f"line {GATE}\n")
        client.send_signal(signal.SIGINT)
        done = finish(client)
    assert done.returncode == 130
    gated.go()
    gated.require_one_whole_run(gated.call("attach", run_id_in(done.stderr)))


@pytest.mark.parametrize(
    ("answer", "meaning", "columns", "variables"),
    [
        ("s\r", "stopping", 80, {}),
        ("d\r", "detaching", 120, {"NO_COLOR": "1"}),
        ("\x03", "detaching", 80, {"NO_COLOR": "1"}),
        ("d\r", "detaching", 120, {}),
        ("d\r", "detaching", 80, {"TERM": "dumb"}),
    ],
    ids=["stop", "detach", "Ctrl-C again", "colours", "dumb"],
)
def test_an_interrupt_on_a_terminal_asks_first(
    request: pytest.FixtureRequest,
    gated: Scenario,
    answer: str,
    meaning: str,
    columns: int,
    variables: dict[str, str],
) -> None:
    terminal = ClientOnTerminal(gated.argv("run"), size=(40, columns), env=variables)
    request.addfinalizer(terminal.kill)
    terminal.wait_for("line 2")
    terminal.type("\x03")
    terminal.wait_for("[d/s]")
    terminal.type(answer)
    terminal.wait_for(meaning)
    assert terminal.end() == 130
    shown = terminal.shown
    screen = lines_on_screen(terminal.everything, columns)
    asked = screen.index("Interrupted: [d]etach and leave the jobs running, or [s]top them?")
    assert "[d/s]" in screen[asked + 1]
    assert screen[asked + 2].startswith(meaning), screen
    run_id = run_id_in(str(list(Path(os.environ["XDG_STATE_HOME"]).rglob("run.json"))))
    if meaning == "stopping":
        assert gated.call("wait", run_id).returncode == 130
    else:
        assert f"mlcube-remote attach {run_id}" in shown
        gated.go()
        gated.require_one_whole_run(gated.call("attach", run_id))


def test_a_task_that_takes_too_long_is_ended_with_nobody_there(scenario: Scenario) -> None:
    run_id = scenario.call("run", "--detach", "--timeout=1s").stdout.strip()
    done = scenario.call("attach", run_id)
    assert done.returncode == 124
    assert "reached its time limit of 1 s" in done.stderr
    assert scenario.made("runs.txt") == "x\n", "what it made so far is pulled"


def test_a_task_that_ignores_sigterm_is_killed_in_the_end(scenario: Scenario) -> None:
    deaf = write_cube(scenario.cube, {"count": shell_task('trap "" TERM; sleep 60', outputs={})})
    stubborn = attrs.evolve(scenario, cube=deaf)
    run_id = stubborn.call("run", "--detach").stdout.strip()
    began = time.monotonic()
    stopped = stubborn.call("stop", "--grace=1s", run_id)
    assert time.monotonic() - began < 30
    assert "stopped on request and killed, because it ignored SIGTERM" in stopped.stderr


def test_what_a_task_leaves_running_goes_with_its_container(scenario: Scenario) -> None:
    script = "(setsid sleep 54321 &) ; echo done"
    write_cube(scenario.cube, {"count": shell_task(script, outputs={})})
    done = scenario.call("run")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
    assert scenario.host.exec(["pgrep", "-f", "sleep 54321"]).exit_code == 1
