# SPDX-License-Identifier: Apache-2.0
"""A connection that breaks at the launch, while another run gets the workspace."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import mlcube_remote
from mlcube_remote.events.model import Event
from mlcube_remote.transport.ssh import SSHConnection
from tests.support.interrupted_runs import LINES, Scenario
from tests.support.waiting import wait_for

CutLaunch = Callable[[Callable[[], object]], None]


@pytest.fixture
def cut_launch(gated: Scenario, monkeypatch: pytest.MonkeyPatch) -> CutLaunch:
    """Return a function that cuts the wire at the next launch of this process."""
    call = SSHConnection.call

    def prepare(meanwhile: Callable[[], object]) -> None:
        pending = [meanwhile]

        def call_or_cut(self: SSHConnection, function: str, *args: str, **options: Any) -> Any:
            if function in {"mlcr_launch_job", "mlcr_launch_and_describe"} and pending:
                gated.wire.cut()
                pending.pop()()
                gated.wire.restore()
            return call(self, function, *args, **options)

        monkeypatch.setattr(SSHConnection, "call", call_or_cut)

    return prepare


def start_another_run(bench: Scenario) -> None:
    """Start a run that does not use the wire, and leave it running."""
    argv = bench.argv("run", "--detach")
    argv[argv.index(f"--inventory={bench.inventory}")] = f"--inventory={bench.host.inventory}"
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    wait_for(lambda: started_tasks(bench) == 1)


def started_tasks(bench: Scenario) -> int:
    """Return how many tasks have started in the mirror of the cube."""
    known = bench.host.home.glob(".mlcube-remote/cubes/probe-*/workspace")
    files = [folder / "runs.txt" for folder in known if (folder / "mine").exists()]
    return sum(file.read_text().count("x") for file in files if file.exists())


@pytest.fixture(autouse=True)
def mark(gated: Scenario) -> Iterator[None]:
    """Mark the cube's mirror, because other tests use the same host."""
    file = gated.cube / "workspace/mine"
    file.touch()
    yield
    for each in gated.host.home.glob(".mlcube-remote/cubes/probe-*/workspace/mine"):
        each.unlink()


def test_a_workspace_that_another_run_got_is_left_to_it(
    gated: Scenario, cut_launch: CutLaunch
) -> None:
    cut_launch(lambda: start_another_run(gated))
    result = mlcube_remote.run(
        gated.cube, hosts=gated.host.name, tasks="count", inventory=gated.inventory
    )
    (job,) = result.jobs
    assert (result.exit_code, job.status.value) == (117, "not-started"), job.error
    assert "the workspace is held by run" in str(job.error)
    gated.go()
    assert started_tasks(gated) == 1


def test_a_run_that_waits_prepares_the_workspace_again(
    gated: Scenario, cut_launch: CutLaunch
) -> None:
    cut_launch(lambda: start_another_run(gated))
    seen: list[str] = []

    def note(event: Event) -> None:
        text = str(getattr(event, "text", ""))
        seen.append(text)
        if text.startswith("waiting: the workspace is held"):
            (gated.cube / "workspace/go").touch()  # for the task of this run
            gated.go()

    result = mlcube_remote.run(
        gated.cube,
        hosts=gated.host.name,
        tasks="count",
        inventory=gated.inventory,
        wait=True,
        on_event=note,
    )
    assert result.succeeded, result.jobs
    assert "another run has used the workspace meanwhile: preparing it again" in seen
    assert gated.made("total.txt") == f"{LINES}{os.linesep}"
    assert started_tasks(gated) == 2, "one after the other"
