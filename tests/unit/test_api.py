# SPDX-License-Identifier: Apache-2.0
"""The Python functions: what they import, return and raise, where no host need answer."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import mlcube_remote
from mlcube_remote import (
    JobOutcome,
    MLCubeRemoteError,
    RunFailedError,
    RunResult,
    Status,
    attach,
    check,
    clean,
    configure,
    describe,
    hosts,
    logs,
    ps,
    pull,
    rerun,
    results,
    run,
    status,
    stop,
    top,
)
from mlcube_remote.dispatch.events import Event, JobFinished, StageStarted
from mlcube_remote.errors import CubeError, InventoryError, UsageError

FUNCTIONS = (
    *(attach, check, clean, configure, describe, hosts, logs, ps),
    *(pull, rerun, results, run, status, stop, top),
)


@pytest.fixture(autouse=True)
def _cube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parameters = "{parameters: {inputs: {x: {type: file, default: in.txt}}}}"
    (tmp_path / "mlcube.yaml").write_text(
        f"name: probe\ndocker: {{image: x}}\ntasks: {{t: {parameters}}}\n"
    )
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/in.txt").write_text("x")
    (tmp_path / "hosts.yaml").write_text(
        "hosts: {a: {address: 127.0.0.1, port: 1}, b: {address: 127.0.0.1, port: 1}}\n"
        "groups: {both: [a, b]}\n"
    )


def test_importing_the_package_imports_nothing_else() -> None:
    code = (
        "import __future__, importlib, sys, typing; before = set(sys.modules); "
        "import mlcube_remote; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["mlcube_remote", "mlcube_remote._version"]


def test_every_public_name_is_there_and_none_besides() -> None:
    assert mlcube_remote.__all__ == sorted(mlcube_remote.__all__, key=_constants_first)
    for name in mlcube_remote.__all__:
        assert getattr(mlcube_remote, name) is not None
        assert name in dir(mlcube_remote)
    lazy = {name for names in mlcube_remote._MODULES.values() for name in names}
    assert {*mlcube_remote.__all__} == lazy | {"__version__", "get_runner_class"}
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        mlcube_remote.nothing  # noqa: B018


def _constants_first(name: str) -> tuple[bool, str]:
    return (name.islower() or name.startswith("_"), name)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_every_parameter_is_typed_and_explained(function: Any) -> None:
    signature = inspect.signature(function)
    explained = inspect.getdoc(function) or ""
    assert signature.return_annotation is not inspect.Signature.empty
    for name, parameter in signature.parameters.items():
        assert parameter.annotation is not inspect.Parameter.empty
        assert f"\n    {name}: " in explained or "arguments as for :func:" in explained


def test_a_cube_is_described() -> None:
    cube = describe(".", overrides={"docker.image": "y"})
    assert (cube.name, list(cube.tasks), cube.settings["docker"]["image"]) == ("probe", ["t"], "y")


def test_hosts_that_cannot_be_reached_are_outcomes_and_told_of() -> None:
    told: list[Event] = []
    done = run(hosts="both", tasks="t", on_event=told.append)
    assert [(job.host, job.status) for job in done.jobs] == [
        ("a", Status.NOT_STARTED),
        ("b", Status.NOT_STARTED),
    ]
    assert not done.succeeded
    assert done.exit_code == 120
    assert {type(event) for event in told} >= {StageStarted, JobFinished}
    with pytest.raises(RunFailedError, match="2 of 2 jobs did not succeed: a: ") as caught:
        done.check()
    assert caught.value.hint == f"mlcube-remote rerun {done.run_id} --failed"
    rows = results(done.run_id).rows(sort="-host")
    assert [(row["host"], row["result"], row["exit"]) for row in rows] == [
        ("b", "not-started", 120),
        ("a", "not-started", 120),
    ]
    assert results(Path("results") / done.run_id).document["jobs"][0]["host"] == "a"


def test_what_failed_is_run_again_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(hosts=["a", "b"], tasks=["t"], parameters={"x": "in.txt"})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = rerun(done.run_id, hosts="b", parallel=1)
    assert [(job.host, job.attempt) for job in again.jobs] == [("b", 2)]
    assert Path.cwd() == tmp_path / "elsewhere"
    document = results(done.run_id).document
    assert [job["attempt"] for job in document["jobs"]] == [1, 2]
    assert document["jobs"][0]["parameters"] == {"x": "in.txt"}


def test_a_sweep_is_one_run_with_a_row_for_each_point(tmp_path: Path) -> None:
    (tmp_path / "workspace/other.txt").write_text("y")
    done = run(hosts="both", tasks="t", sweep={"x": ["in.txt", "other.txt"]}, retries=0)
    assert [job.parameters for job in done.jobs] == [{"x": "in.txt"}, {"x": "other.txt"}]
    assert [row["x"] for row in results(done.run_id).rows()] == ["in.txt", "other.txt"]
    with pytest.raises(UsageError, match="a value with a comma"):
        run(hosts="both", tasks="t", sweep={"x": ["a,b"]})
    done = run(hosts="both", tasks="t", sweep={"x": "in.txt"})
    assert [job.parameters for job in done.jobs] == [{"x": "in.txt"}], "one value, not six letters"


def test_it_works_in_a_thread_of_ones_own() -> None:
    ended: list[RunResult] = []
    thread = threading.Thread(target=lambda: ended.append(run(hosts="a", tasks="t")))
    thread.start()
    thread.join()
    assert ended[0].exit_code == 120


def test_a_cube_is_configured_without_leaving_a_record() -> None:
    done = configure(hosts="a")
    assert done.exit_code == 120
    with pytest.raises(UsageError):
        results(done.run_id)


def test_mistakes_are_raised_before_anything_is_touched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such cube"):
        run("absent", hosts="a", tasks="t")
    with pytest.raises(InventoryError):
        run(hosts="c", tasks="t", inventory=tmp_path / "hosts.yaml")
    with pytest.raises(MLCubeRemoteError, match="nothing"):
        run(hosts="a", tasks="nothing")
    with pytest.raises(UsageError, match="TOKEN_THAT_IS_NOT_SET"):
        run(hosts="a", tasks="t", env="TOKEN_THAT_IS_NOT_SET")
    (tmp_path / "mlcube.yaml").write_text("tasks: [")
    with pytest.raises(CubeError):
        describe()


@pytest.mark.parametrize("function", [attach, status, pull, stop])
def test_a_run_that_nobody_knows_is_raised(function: Any) -> None:
    with pytest.raises(UsageError, match="no run 'abc' is known here"):
        function("abc", hosts="a")


@pytest.mark.parametrize("function", [attach, status, pull, stop])
def test_a_run_whose_host_is_off_is_told(function: Any) -> None:
    done = run(hosts="a", tasks="t")
    found = function(done.run_id)
    assert isinstance(found.jobs[0], JobOutcome)
    assert (found.jobs[0].status, found.exit_code) == (Status.UNKNOWN, 120)


def test_hosts_that_are_off_have_no_jobs_and_a_reason() -> None:
    told = ps("both", password="secret")
    assert [answer.host.name for answer in told] == ["a", "b"]
    assert all(answer.error is not None and not answer.jobs for answer in told)
    assert len(ps()) == 2


def test_the_inventory_is_read_and_hosts_that_are_off_are_answers() -> None:
    assert [host.name for host in hosts()] == ["a", "b"]
    assert [host.name for host in hosts("both,!a")] == ["b"]
    with pytest.raises(InventoryError, match="no host has a label 'gpu'"):
        hosts(where="gpu=a100")
    for ask in (check, top, clean):
        told: Any = ask(["a", "b"])
        assert [answer.host for answer in told] == ["a", "b"]
    assert [checkup.passed for checkup in check("both")] == [False, False]
    assert all(busy.error is not None for busy in top(where=(), hosts="a"))
    assert all(cleaned.error is not None and not cleaned.removed for cleaned in clean())


def test_logs_of_a_run_whose_host_is_off_are_unknown_and_nothing_is_noted() -> None:
    done = run(hosts="a", tasks="t")
    before = results(done.run_id).document
    told: list[Event] = []
    assert logs(done.run_id, told.append).jobs[0].status is Status.UNKNOWN
    assert any(isinstance(event, JobFinished) for event in told)
    assert results(done.run_id).document == before


def test_a_run_that_goes_on_has_not_failed() -> None:
    job = JobOutcome(host="a", platform="docker", status=Status.RUNNING, seconds={})
    assert RunResult(run_id="x", jobs=(job,)).check().exit_code == 0
