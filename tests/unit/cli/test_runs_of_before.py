# SPDX-License-Identifier: Apache-2.0
"""What a user types about runs that were begun before, where no host need be asked."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from mlcube_remote.cli.main import run
from mlcube_remote.cli.options import Duration
from mlcube_remote.errors import UsageError
from mlcube_remote.runs.results import publish
from mlcube_remote.runs.store import RUN, Store


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("8h", 28_800), ("7d", 604_800), (" 2 W ", 1_209_600)],
)
def test_a_time_span_is_read(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1s", "1y", "soon", "1h30m", "nan", "1e3"])
def test_what_is_no_time_span_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a time span such as"):
        Duration().convert(text, None, None)


@pytest.fixture
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def remember(run_id: str) -> None:
    Store().write(run_id, RUN, {"jobs": [{"host": "gpu", "job": f"{run_id}-gpu"}]})


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize("command", ["ps", "clean"])
def test_nobody_to_ask_is_said(command: str) -> None:
    with pytest.raises(UsageError, match="no host to ask"):
        run([command])


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize("command", ["attach", "wait", "logs", "status", "stop", "pull"])
def test_a_run_that_nobody_knows_is_said(command: str) -> None:
    with pytest.raises(UsageError, match="no run 'abc' is known here, nor on the hosts"):
        run([command, "abc"])


@pytest.mark.usefixtures("_alone")
def test_an_id_that_may_mean_two_runs_is_not_guessed() -> None:
    for letter in "ab":
        remember(f"261123-190233-{letter * 16}")
    with pytest.raises(UsageError, match="may be any of 261123-190233-b") as caught:
        run(["attach", "261123"])
    assert caught.value.hint == "give more of its id"


@pytest.mark.usefixtures("_alone")
def test_a_run_id_is_not_made_up(tmp_path: Path) -> None:
    (tmp_path / "mlcube.yaml").write_text("name: x\ndocker: {image: x}\ntasks: {t: {}}\n")
    (tmp_path / "hosts.yaml").write_text("hosts: {gpu: {}}\n")
    with pytest.raises(UsageError, match="--run-id=mine: not a run id"):
        run(["run", "--host=gpu", "--task=t", "--run-id=mine"])


def with_results(run_id: str) -> None:
    for host, accuracy in (("a", 0.5), ("b", 0.9)):
        metrics = {"task": "t", "name": "m", "path": f"/o/{host}", "metrics": {"acc": accuracy}}
        known = {"host": host, "status": "succeeded", "exit_code": 0, "outputs": [metrics]}
        Store().write(run_id, f"{run_id}-{host}", known)


@pytest.mark.usefixtures("_alone")
def test_results_are_shown_without_asking_anybody(capsys: pytest.CaptureFixture[str]) -> None:
    run_id = "261123-190233-" + "b" * 16
    with_results(run_id)
    run(["results", "show", "261123", "--sort", "-acc"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["host", "b", "a"]
    run(["results", "show", "bbbb", "--csv"])
    assert capsys.readouterr().out.splitlines()[0].endswith(",acc")
    run(["results", "show", run_id, "--json", "--sort=acc"])
    document = json.loads(capsys.readouterr().out)
    assert [job["host"] for job in document["jobs"]] == ["a", "b"]


@pytest.mark.usefixtures("_alone")
def test_results_are_read_where_they_were_moved_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_results("261123-190233-" + "b" * 16)
    publish("261123-190233-" + "b" * 16, Store(), tmp_path / "moved", print)
    for path in ("moved", "moved/results.json"):
        run(["results", "show", path])
        assert "0.9" in capsys.readouterr().out


@pytest.mark.usefixtures("_alone")
def test_results_that_nobody_knows_are_told_from_those_that_are_unclear() -> None:
    with pytest.raises(UsageError, match="no results of a run 'abc' are known here"):
        run(["results", "show", "abc"])
    for letter in "ab":
        with_results(f"261123-190233-{letter * 16}")
    with pytest.raises(UsageError, match="may be any of"):
        run(["results", "show", "261123"])
