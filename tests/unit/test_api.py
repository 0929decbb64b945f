# SPDX-License-Identifier: Apache-2.0
"""The Python API: imports, results and exceptions, as far as no host answers."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
from functools import partial
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
    clean_mirrors,
    configure,
    describe,
    disk,
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
from mlcube_remote.errors import CubeError, InventoryError, UsageError
from mlcube_remote.events import Event, JobFinished, StageStarted

FUNCTIONS = (
    *(attach, check, clean, clean_mirrors, configure, describe, disk, hosts, logs, ps),
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


def test_all_lists_exactly_the_public_names() -> None:
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
def test_every_parameter_is_typed_and_documented(function: Any) -> None:
    signature = inspect.signature(function)
    documentation = inspect.getdoc(function) or ""
    assert signature.return_annotation is not inspect.Signature.empty
    for name, parameter in signature.parameters.items():
        assert parameter.annotation is not inspect.Parameter.empty
        assert f"\n    {name}: " in documentation or "arguments as for :func:" in documentation


def test_describe_returns_the_cube() -> None:
    cube = describe(".", overrides={"docker.image": "y"})
    assert (cube.name, list(cube.tasks), cube.settings["docker"]["image"]) == ("probe", ["t"], "y")


def test_unreachable_hosts_have_outcomes_and_events() -> None:
    events: list[Event] = []
    done = run(hosts="both", tasks="t", on_event=events.append)
    assert [(job.host, job.status) for job in done.jobs] == [
        ("a", Status.NOT_STARTED),
        ("b", Status.NOT_STARTED),
    ]
    assert not done.succeeded
    assert done.exit_code == 120
    assert {type(event) for event in events} >= {StageStarted, JobFinished}
    with pytest.raises(RunFailedError, match="2 of 2 jobs did not succeed: a: ") as caught:
        done.check()
    assert caught.value.hint == f"mlcube-remote rerun {done.run_id} --failed"
    rows = results(done.run_id).rows(sort="-host")
    assert [(row["host"], row["result"], row["exit"]) for row in rows] == [
        ("b", "not-started", 120),
        ("a", "not-started", 120),
    ]
    assert results(Path("results") / done.run_id).document["jobs"][0]["host"] == "a"


def test_failed_jobs_run_again_from_any_directory(
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


def test_random_points_are_those_of_the_seed() -> None:
    Path("workspace/in.txt").rename("workspace/in.yaml")
    Path("workspace/in.yaml").write_text("lr: 1\n")

    def points(sample: int | tuple[int, int]) -> list[str]:
        sweep = {"lr": "log:1..9"}
        x = {"x": "in.yaml"}
        done = run(hosts="a", tasks="t", parameters=x, sweep=sweep, sample=sample, retries=0)
        return [job.parameters["lr"] for job in done.jobs]

    assert points((3, 7)) == points((3, 7))
    assert len(points(2)) == 2


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ({"sweep": {"x": "0.1 0.2"}}, "--sweep x=0.1 0.2", "x=0.1,0.2"),
        ({"sweep": {"x": ["0.1:0.5:0.1"]}}, "0.1:0.5:0.1", "lin:0.1..0.5"),
        (
            {"sweep": {"x": [[0.1, 0.2]]}},
            r"x: \[0.1, 0.2\]: expected texts and numbers",
            "[0.1, 0.01]",
        ),
        ({"sweep": {"x": {"a": 1}}}, "x: {'a': 1}: expected texts and numbers", "[0.1, 0.01]"),
        ({"sweep": {"x": [1, None]}}, "x: None: expected texts and numbers", "[0.1, 0.01]"),
        ({"sweep": {"x": []}}, "--sweep x=: no value", "--sweep"),
        ({"sweep": {"x": "0.1,0.2"}}, "a value with a comma", "a list of values"),
        ({"sweep": {"x": 1}, "sample": 0}, "--sample=0: expected at least 1", None),
        ({"sweep": {"x": 1}, "sample": (2, -1)}, "--seed=-1: expected at least 0", None),
        ({"sample": 2}, "there is no sweep to choose points from", "--sample=20"),
    ],
)
def test_a_sweep_without_sense_is_refused(
    arguments: dict[str, Any], message: str, hint: str | None
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        run(hosts="a", tasks="t", **arguments)
    assert caught.value.hint is None if hint is None else hint in str(caught.value.hint)


def test_a_run_works_in_any_thread() -> None:
    ended: list[RunResult] = []
    thread = threading.Thread(target=lambda: ended.append(run(hosts="a", tasks="t")))
    thread.start()
    thread.join()
    assert ended[0].exit_code == 120


def test_configure_leaves_no_record() -> None:
    done = configure(hosts="a")
    assert done.exit_code == 120
    with pytest.raises(UsageError):
        results(done.run_id)


def test_mistakes_are_raised_before_a_host_is_asked(tmp_path: Path) -> None:
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
def test_an_unknown_run_is_an_error(function: Any) -> None:
    with pytest.raises(UsageError, match="no run 'abc' on this machine"):
        function("abc", hosts="a")


@pytest.mark.parametrize("function", [attach, status, pull, stop])
def test_a_run_that_never_reached_its_host_does_not_become_doubtful(function: Any) -> None:
    done = run(hosts="a", tasks="t")
    found = function(done.run_id)
    assert isinstance(found.jobs[0], JobOutcome)
    assert (found.jobs[0].status, found.exit_code) == (Status.NOT_STARTED, 120)


def test_unreachable_hosts_have_an_error_and_no_jobs(tmp_path: Path) -> None:
    answers = ps("both", password="secret")
    assert [answer.host.name for answer in answers] == ["a", "b"]
    assert all(answer.error is not None and not answer.jobs for answer in answers)
    assert len(ps()) == 2
    (tmp_path / "hosts.yaml").unlink()
    assert not ps(), "there is no host to ask"
    assert not clean()


def test_the_inventory_is_read_and_unreachable_hosts_have_an_error() -> None:
    assert [host.name for host in hosts()] == ["a", "b"]
    assert [host.name for host in hosts("both,!a")] == ["b"]
    with pytest.raises(InventoryError, match="no host has a label 'gpu'"):
        hosts(where="gpu=a100")
    for ask in (check, top, clean, disk, partial(clean_mirrors, older_than=60)):
        answers: Any = ask(["a", "b"])
        assert [answer.host for answer in answers] == ["a", "b"]
    assert [checkup.passed for checkup in check("both")] == [False, False]
    assert all(busy.error is not None for busy in top(where=(), hosts="a"))
    assert all(cleaned.error is not None and not cleaned.removed for cleaned in clean())


def test_logs_of_an_unreachable_host_record_nothing() -> None:
    done = run(hosts="a", tasks="t")
    before = results(done.run_id).document
    events: list[Event] = []
    assert logs(done.run_id, events.append).jobs[0].status is Status.NOT_STARTED
    assert any(isinstance(event, JobFinished) for event in events)
    assert results(done.run_id).document == before


def test_a_running_job_has_not_failed() -> None:
    job = JobOutcome(host="a", platform="docker", status=Status.RUNNING, seconds={})
    assert RunResult(run_id="x", jobs=(job,)).check().exit_code == 0
