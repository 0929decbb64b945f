# SPDX-License-Identifier: Apache-2.0
"""A plan is made once: deriving it again and again made large sweeps slow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.app.parse import parse_axes
from mlcube_remote.commands import build
from mlcube_remote.cube.load import load
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan import placed_job
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.job_plan import make_plan
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.plan.sweep_points import sweep_points
from mlcube_remote.plan.trials import make_trials

CUBE = """
name: c
docker: {image: example/x}
tasks:
  train:
    parameters:
      inputs: {config: {type: file, default: conf.yaml}}
      outputs: {model: {type: directory, default: model}}
"""
POINTS = 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "cube"
    (folder / "workspace").mkdir(parents=True)
    (folder / "workspace/conf.yaml").write_text("lr: 1\n")
    (folder / "mlcube.yaml").write_text(CUBE)
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the calls of the two expensive steps of planning."""
    counted: Counter[str] = Counter()

    def count(name: str, module: object, function: str) -> None:
        original: Callable[..., Any] = getattr(module, function)

        def wrapper(*args: Any, **options: Any) -> Any:
            counted[name] += 1
            return original(*args, **options)

        monkeypatch.setattr(module, function, wrapper)

    count("place", placed_job, "place_parameters")
    count("merge", build, "merge")
    return counted


def request(root: Path, sweep: str = "") -> RunRequest:
    cube = load(root)
    trials = make_trials(cube, sweep_points(parse_axes([sweep])), ("train",)) if sweep else ()
    hosts = (Host(name="a", remote_root="/r"), Host(name="b", remote_root="/r"))
    return RunRequest(cube=cube, hosts=hosts, tasks=("train",), run_id="run", trials=trials)


def sweep_of(parameter: str) -> str:
    return f"{parameter}=" + ",".join(str(number) for number in range(POINTS))


def test_a_plan_places_each_task_once_and_merges_the_settings_once(
    root: Path, calls: Counter[str]
) -> None:
    (job, _) = plan_jobs(request(root))
    calls.clear()
    plan = make_plan(job)
    assert calls == {"place": 1, "merge": 1}
    assert [task.name for task in plan.tasks] == ["train"]


@pytest.mark.parametrize("parameter", ["lr", "model"])
def test_planning_a_sweep_takes_a_constant_number_of_calls_per_job(
    root: Path, calls: Counter[str], parameter: str
) -> None:
    assert len(plan_jobs(request(root, sweep_of(parameter)))) == POINTS
    assert calls["place"] <= 2 * POINTS
    assert calls["merge"] <= 2 * POINTS


def test_a_dry_run_of_a_sweep_finds_what_is_sent_once_per_host(
    root: Path, calls: Counter[str]
) -> None:
    dry_run(request(root, sweep_of("model")))
    assert calls["place"] <= (3 + 2) * POINTS, "two of a job's are for the check and the plan"
    assert calls["merge"] <= 3 * POINTS
