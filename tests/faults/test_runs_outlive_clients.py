# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to the client or to the wire: nothing of a run is lost, nothing done twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import yaml

from mlcube_remote.runs.ids import new_run_id
from mlcube_remote.runs.results_index import compile_index
from mlcube_remote.runs.store import Store
from mlcube_remote.sandbox.engine import BASE_IMAGE, docker
from tests.support.cubes import shell_task, write_cube
from tests.support.interrupted_runs import (
    COUNT,
    EXPECTED,
    GATE,
    LINES,
    Scenario,
    break_for_a_while,
    finish,
    on_all_paths,
    on_both_transports,
    read_client,
    read_until,
    run_id_in,
)
from tests.support.waiting import wait_for
from tests.support.wire import Wire

Completed = subprocess.CompletedProcess[str]


@on_all_paths
@pytest.mark.parametrize("fault", [break_for_a_while, Wire.silence], ids=["cut", "silent"])
def test_a_broken_wire_costs_no_byte(gated: Scenario, fault: Callable[[Wire], None]) -> None:
    with gated.client("run") as client:
        read = read_client(client, f"line {GATE}\n")
        fault(gated.wire)
        gated.go()
        done = finish(client, read)
    gated.require_one_whole_run(done)
    assert "reconnecting" in done.stderr
    assert "connected again" in done.stderr


@on_both_transports
@pytest.mark.parametrize(
    ("stream", "moment"),
    [
        ("stderr", "connect: done"),
        ("stderr", "sync: "),
        ("stderr", "configure: "),
        ("stdout", f"line {GATE}\n"),
    ],
)
def test_between_any_two_stages_the_wire_may_break(
    gated: Scenario, stream: str, moment: str
) -> None:
    with gated.client("run") as client:
        read = read_until(getattr(client, stream), moment)
        break_for_a_while(gated.wire)
        gated.go()
        done = finish(client)
    setattr(done, stream, read + getattr(done, stream))
    gated.require_one_whole_run(done)
    assert "connected again" in done.stderr


@on_all_paths
def test_the_wire_may_break_at_the_end_of_a_task(scenario: Scenario) -> None:
    with scenario.client("run") as client:
        read = read_client(client, f"line {LINES}\n")
        break_for_a_while(scenario.wire)
        done = finish(client, read)
    scenario.require_one_whole_run(done)


@on_both_transports
def test_a_sync_that_is_cut_goes_on_where_it_was(scenario: Scenario) -> None:
    size = 30_000_000
    (scenario.cube / "workspace/input.bin").write_bytes(os.urandom(size))
    scenario.wire.rate = 15_000_000
    with scenario.client("run") as client:
        wait_for(lambda: scenario.wire.relayed > size / 2)
        scenario.wire.cut()
        scenario.wire.rate = None
        time.sleep(1)
        scenario.wire.restore()
        done = finish(client)
    scenario.require_one_whole_run(done)
    assert "reconnecting" in done.stderr
    assert scenario.wire.relayed < size * 1.5, "most of the first half was not sent again"


def test_an_image_is_built_although_the_wire_is_cut_meanwhile(
    scenario: Scenario, tmp_path: Path
) -> None:
    image = f"mlcube-remote-test/slow-{new_run_id()}"
    cube = write_cube(
        tmp_path / "slow", {"count": COUNT}, docker={"image": image, "build_strategy": "auto"}
    )
    # The image's name makes the line one that no cache of the engine knows.
    line = f"RUN echo building && sleep 3 && : {image}"
    (cube / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\n{line}\n")
    slow = attrs.evolve(scenario, cube=cube)
    try:
        with slow.client("run") as client:
            read_until(client.stderr, "building\n")
            scenario.wire.cut()
            time.sleep(0.5)
            scenario.wire.restore()
            done = finish(client)
        assert done.returncode == 0, done.stderr
        assert "reconnecting" in done.stderr
        assert done.stdout == EXPECTED
        assert slow.made("runs.txt") == "x\n"
    finally:
        docker("image", "rm", "--force", image)


@on_all_paths
def test_an_sshd_that_is_restarted_and_loses_its_sessions_costs_no_byte(gated: Scenario) -> None:
    with gated.client("run") as client:
        read = read_client(client, f"line {GATE}\n")
        # The listener is the host's first process: SIGHUP restarts it.
        assert gated.host.exec(["kill", "-HUP", "1"]).exit_code == 0
        gated.host.exec(["pkill", "-KILL", "-f", "sshd: .*@notty"])
        gated.go()
        done = finish(client, read)
    gated.require_one_whole_run(done)
    assert "connected again" in done.stderr


@on_both_transports
def test_a_client_that_gives_up_says_how_to_go_on(gated: Scenario) -> None:
    with gated.client("run", "--reconnect-timeout=1s") as client:
        read = read_client(client, f"line {GATE}\n")
        gated.wire.cut()
        done = finish(client, read)
    assert done.returncode == 123
    assert "unknown" in done.stderr
    run_id = run_id_in(done.stderr)
    assert f"mlcube-remote attach {run_id}" in done.stderr
    lost = f"mlcube-remote rerun {run_id} --failed --gone="
    assert lost in done.stderr
    assert "failed" not in done.stderr.replace(lost, "")
    gated.wire.restore()
    gated.go()
    gated.require_one_whole_run(gated.call("attach", run_id))


@pytest.mark.parametrize(
    ("stream", "moment"),
    [
        ("stderr", "connect: done"),
        ("stderr", "sync: "),
        ("stderr", "configure: "),
        ("stdout", "line 5\n"),
        ("stdout", f"line {LINES}\n"),
    ],
)
def test_a_client_that_was_killed_is_replaced_by_another(
    scenario: Scenario, stream: str, moment: str
) -> None:
    run_id = new_run_id()
    with scenario.client("run", f"--run-id={run_id}") as client:
        read_until(getattr(client, stream), moment)
        client.send_signal(signal.SIGKILL)
        client.communicate()
    scenario.require_one_whole_run(scenario.call("run", f"--run-id={run_id}"))
    again = scenario.call("attach", run_id[-6:])
    scenario.require_one_whole_run(again)


def test_two_clients_with_one_run_id_start_it_once(scenario: Scenario) -> None:
    run_id = f"--run-id={new_run_id()}"
    with scenario.client("run", run_id) as first, scenario.client("run", run_id) as second:
        scenario.require_one_whole_run(finish(first))
        scenario.require_one_whole_run(finish(second))


def test_a_run_id_stands_for_its_tasks(gated: Scenario) -> None:
    run_id = f"--run-id={new_run_id()}"
    assert gated.call("run", "--detach", run_id).returncode == 0
    described = yaml.safe_load((gated.cube / "mlcube.yaml").read_text())
    described["tasks"]["other"] = described["tasks"]["count"]
    (gated.cube / "mlcube.yaml").write_text(yaml.safe_dump(described))
    other = gated.call("run", "--task=other", run_id)
    assert other.returncode == 2
    assert "has other tasks on this host: count" in other.stderr
    wait_for(lambda: list(gated.host.home.rglob("runs.txt")))
    gated.go()
    assert gated.call("wait", run_id.partition("=")[2]).returncode == 0


def test_a_detached_run_is_found_followed_and_cleaned_away(gated: Scenario) -> None:
    started = gated.call("run", "--detach")
    run_id = started.stdout.strip()
    assert started.returncode == 0, started.stderr
    assert run_id == run_id_in(run_id)
    listed = json.loads(gated.call("ps", "--output=json").stdout)
    (job,) = [job for job in listed["hosts"][0]["jobs"] if job["run"] == run_id]
    assert job["state"] == "running"
    assert job["cube"].startswith("probe-")
    assert "running" in gated.call("status", run_id).stderr
    wait_for(lambda: f"err {GATE}\n" in gated.call("logs", run_id).stderr)
    whole, last = gated.call("logs", run_id), gated.call("logs", "--tail=4", run_id)
    assert len([*last.stdout.splitlines(), *last.stderr.splitlines()]) == 4
    assert whole.stdout.endswith(last.stdout)
    assert whole.stderr.endswith(last.stderr)
    partial = gated.call("pull", run_id)
    assert partial.returncode == 0, partial.stderr
    assert gated.made("runs.txt") == "x\n"
    assert not (gated.cube / "workspace/total.txt").exists()
    gated.go()
    waited = gated.call("wait", run_id)
    assert waited.returncode == 0
    assert f"pull them:  mlcube-remote pull {run_id}" in waited.stderr
    assert [job["status"] for job in compile_index(run_id, Store(), print)["jobs"]] == ["succeeded"]
    assert gated.call("logs", "--follow", run_id).stdout == EXPECTED
    gated.require_one_whole_run(gated.call("attach", run_id))
    assert run_id not in gated.call("ps").stdout
    assert run_id in gated.call("ps", "--all").stdout
    assert run_id in gated.call("clean", "--older-than=1s", "--dry-run").stdout
    assert run_id in gated.call("clean", "--older-than=1s").stdout
    assert "nothing to do" in gated.call("clean", "--older-than=1s").stdout
    assert gated.call("attach", run_id).returncode == 2


def test_a_run_of_another_client_is_found_by_asking_the_host(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = scenario.call("run", "--detach").stdout.strip()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    done = scenario.call("attach", run_id)
    assert done.returncode == 0, done.stderr
    assert done.stdout == EXPECTED
    total = elsewhere / "results" / run_id / scenario.host.name / "total.txt"
    assert total.read_text() == f"{LINES}\n"
    assert not (scenario.cube / "workspace/total.txt").exists()
    index = json.loads((elsewhere / "results" / run_id / "results.json").read_text())
    assert [job["status"] for job in index["jobs"]] == ["succeeded"]
    assert index["jobs"][0]["outputs"][0]["path"] == f"{scenario.host.name}/runs.txt"
    assert scenario.call("attach", run_id).returncode == 0, "as often as one likes"
    scenario.wire.cut()
    status = scenario.call("status", run_id, "--output=json")
    assert status.returncode == 2, "only the host knows it, and cannot be asked"


def test_a_workspace_is_one_runs_at_a_time(gated: Scenario) -> None:
    run_id = gated.call("run", "--detach").stdout.strip()
    refused = gated.call("run")
    assert refused.returncode == 117
    assert f"the workspace is held by run {run_id}" in refused.stderr
    assert f"mlcube-remote stop {run_id}" in refused.stderr
    with gated.client("run", "--wait") as client:
        message = read_until(client.stderr, f"waiting: the workspace is held by run {run_id}")
        assert "sync" not in message
        gated.go()
        assert finish(client).returncode == 0
    assert gated.made("runs.txt") == "x\nx\n", "one after the other"


def test_another_workspace_is_not_waited_for(scenario: Scenario, tmp_path: Path) -> None:
    run_id = scenario.call("run", "--detach").stdout.strip()
    done = scenario.call("run", f"--workspace={tmp_path / 'another'}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "another/runs.txt").read_text() == "x\n"
    assert scenario.call("wait", run_id).returncode == 0
    scenario.require_one_whole_run(scenario.call("attach", run_id))


def test_a_flood_on_one_stream_blocks_neither(scenario: Scenario) -> None:
    size = 10_000_000
    script = f'head -c {size} /dev/zero | tr "\\0" x >&2; echo out; head -c {size} /dev/zero >&2'
    write_cube(scenario.cube, {"count": shell_task(script, outputs={})})
    done = scenario.call("run", "--quiet")
    assert done.returncode == 0
    assert done.stdout == "out\n"
    assert done.stderr.count("x") >= size


def test_two_clients_that_send_one_cube_at_once_leave_one_whole_tree(
    scenario: Scenario, tmp_path: Path
) -> None:
    sizes = [3_000_000 + number for number in range(4)]
    for number, size in enumerate(sizes):
        (scenario.cube / f"file{number}").write_bytes(os.urandom(size))
    spaces = [f"--workspace={tmp_path / name}" for name in ("one", "two", "three")]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(scenario.client("run", space)) for space in spaces]
        for client in clients:
            done = finish(client)
            assert done.returncode == 0, done.stderr
            assert done.stdout == EXPECTED
    newest = max(
        scenario.host.home.glob(".mlcube-remote/cubes/probe-*/file0"),
        key=lambda path: path.stat().st_mtime,
    ).parent
    for number in range(len(sizes)):
        mine = (scenario.cube / f"file{number}").read_bytes()
        assert (newest / f"file{number}").read_bytes() == mine
