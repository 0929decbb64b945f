# SPDX-License-Identifier: Apache-2.0
"""What a user types about runs that were begun before, where no host need be asked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from mlcube_remote.cli.main import run
from mlcube_remote.cli.options import Duration
from mlcube_remote.cli.rerun import choose_again
from mlcube_remote.errors import UsageError
from mlcube_remote.runs.results_index import write_index
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
    write_index("261123-190233-" + "b" * 16, Store(), tmp_path / "moved", print)
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


@pytest.fixture
def _cube(tmp_path: Path, _alone: None) -> None:
    (tmp_path / "mlcube.yaml").write_text("name: x\ndocker: {image: x}\ntasks: {t: {}}\n")
    (tmp_path / "workspace").mkdir()
    (tmp_path / "hosts.yaml").write_text(
        "hosts: {a: {address: 127.0.0.1, port: 1}, b: {address: 127.0.0.1, port: 1}}\n"
        "groups: {both: [a, b]}\n"
    )


def run_and_fail(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert run(["run", "--host=both", "--task=t", "--output=json", *options]) == 120
    run_id: str = json.loads(capsys.readouterr().out)["run"]
    return run_id


@pytest.mark.usefixtures("_cube")
def test_hosts_that_could_not_be_used_are_tried_again_from_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = run_and_fail(capsys)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(["rerun", run_id, "--failed", "--host=b", "--output=json"]) == 120
    document = json.loads(capsys.readouterr().out)
    assert document["run"] == run_id
    assert [(job["host"], job["attempt"]) for job in document["jobs"]] == [("b", 2)]
    run(["results", "show", run_id, "--json"])
    jobs = json.loads(capsys.readouterr().out)["jobs"]
    assert [(job["host"], job["attempt"], job["status"]) for job in jobs] == [
        ("a", 1, "not-started"),
        ("b", 2, "not-started"),
    ]
    assert run(["rerun", run_id, "--failed", "--dry-run"]) == 0
    assert capsys.readouterr().out.count("docker run") == 2


@pytest.mark.usefixtures("_cube")
def test_what_is_run_again_is_what_was_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    options = ["--memory=4g", "--timeout=90s", "--env=TOKEN", "-P", "docker.image=y"]
    run_id = run_and_fail(capsys, *options)
    run(["run", "--host=both", "--task=t", *options, "--dry-run", f"--run-id={run_id}"])
    first = capsys.readouterr().out
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(inventory.read_text().replace("[a, b]", "[a]"))
    run(["rerun", run_id, "--failed", "--dry-run"])
    job = re.compile(rf"{run_id}-([ab])(?:\.2)?-[0-9a-f]{{12}}")
    assert job.sub(r"\1", capsys.readouterr().out) == job.sub(r"\1", first)
    records = "".join(path.read_text() for path in (Store().root / run_id).iterdir())
    assert "s3cret" not in records


@pytest.mark.usefixtures("_cube")
def test_what_may_be_at_work_is_named_with_the_command_that_follows_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_id = run_and_fail(capsys)
    store = Store()
    for name in store.jobs(run_id):
        known = store.read(run_id, name)
        assert known is not None
        store.write(run_id, name, {**known, "status": "unknown"})
    assert run(["rerun", run_id, "--failed"]) == 123
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "not started again: a may be at work",
        "not started again: b may be at work",
        f"  follow it:  mlcube-remote attach {run_id}",
        "  if its host is gone for good:  the same command, with --gone=HOST",
        "nothing to run again",
    ]
    assert run(["rerun", run_id, "--failed", "--gone=b", "--output=json"]) == 120
    answer = capsys.readouterr()
    assert [job["host"] for job in json.loads(answer.out)["jobs"]] == ["b"]
    assert answer.err.startswith("not started again: a may be at work\n")


@pytest.mark.usefixtures("_cube")
def test_a_pool_goes_on_without_the_hosts_that_are_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlcube.yaml").write_text(
        "docker: {image: x}\ntasks: {t: {parameters: {outputs: {n: made/}}}}\n"
    )
    sweep = ["run", "--host=both", "--task=t", "--sweep=n=1,2", "--output=json", "--retries=0"]
    assert run([*sweep, "--memory=4g"]) == 120
    run_id = json.loads(capsys.readouterr().out)["run"]
    asked = choose_again(run_id, failed=True, hosts=(), gone=("a",))
    kept = asked.options({"retries": None, "retry_on": (), "wait": True})
    assert (kept["hosts"], kept["retries"], kept["memory"], kept["wait"]) == (["b"], 0, "4g", True)
    assert not kept["retry_on"]
    given = asked.options({"retries": 5, "retry_on": ("task",)})
    assert (given["retries"], given["retry_on"]) == (5, ("task",))
    with pytest.raises(UsageError, match="has no host but a, b"):
        choose_again(run_id, failed=True, hosts=(), gone=("a,b",)).options({})


@pytest.mark.usefixtures("_cube")
def test_a_rerun_that_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = run_and_fail(capsys)
    with pytest.raises(UsageError, match="the run has no job on c"):
        run(["rerun", run_id, "--host=c"])
    with pytest.raises(UsageError, match="the run has no job on c, d"):
        run(["rerun", run_id, "--gone=d,c,a"])
    with pytest.raises(UsageError, match="brackets do not match"):
        run(["rerun", run_id, "--gone=a["])
    with pytest.raises(UsageError, match=r"--retry-on: each host of run .* has one job"):
        run(["rerun", run_id, "--failed", "--retry-on=task"])
    (tmp_path / "hosts.yaml").write_text("hosts: {a: {}}\n")
    with pytest.raises(UsageError, match="b"):
        run(["rerun", run_id, "--failed"])
    remember("261123-190233-" + "c" * 16)
    with pytest.raises(UsageError, match="did not write its arguments down"):
        run(["rerun", "cccc", "--failed"])
    with pytest.raises(UsageError, match="was begun on this machine"):
        run(["rerun", "nothing"])


@pytest.mark.usefixtures("_cube")
@pytest.mark.parametrize("option", ["--fail-fast", "--max-failures=2"])
def test_who_does_not_stay_cannot_count_failures(option: str) -> None:
    with pytest.raises(UsageError, match="nobody stays to see how many jobs fail"):
        run(["run", "--host=both", "--task=t", "--detach", option])
