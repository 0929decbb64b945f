# SPDX-License-Identifier: Apache-2.0
"""``rerun``: which jobs run again, and with which options."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mlcube_remote.app.options import JobFilter, StartOptions
from mlcube_remote.app.rerun import choose_jobs
from mlcube_remote.cli.main import run
from mlcube_remote.errors import UsageError
from mlcube_remote.runs.store import RUN, Store


def run_and_fail(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert run(["run", "--host=both", "--task=t", "--output=json", *options]) == 120
    run_id: str = json.loads(capsys.readouterr().out)["run"]
    return run_id


@pytest.mark.usefixtures("cube_directory")
def test_failed_hosts_are_tried_again_from_any_directory(
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


@pytest.mark.usefixtures("cube_directory")
def test_a_rerun_has_the_options_of_the_run(
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
    # Here the state directory is in the cube; the first run may still write its digests there.
    size = re.compile(r"at most \d+ files, [\d.]+ kB")
    shown = [size.sub("SIZE", job.sub(r"\1", text)) for text in (capsys.readouterr().out, first)]
    assert shown[0] == shown[1]
    assert "SIZE" in shown[0]
    records = "".join(path.read_text() for path in (Store().root / run_id).iterdir())
    assert "s3cret" not in records


@pytest.mark.usefixtures("cube_directory")
def test_jobs_that_may_be_running_are_skipped_with_a_hint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_id = run_and_fail(capsys)
    store = Store()
    for name in store.jobs(run_id):
        known = store.read(run_id, name)
        assert known is not None
        store.write(run_id, name, {**known, "status": "unknown"})
    assert run(["rerun", run_id, "--failed"]) == 123
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "not started again: a may still be running",
        "not started again: b may still be running",
        f"  follow it:  mlcube-remote attach {run_id}",
        "  if its host is gone for good:  repeat this command with --gone=HOST",
        "no job to run again",
    ]
    assert run(["rerun", run_id, "--failed", "--gone=b", "--output=json"]) == 120
    answer = capsys.readouterr()
    assert [job["host"] for job in json.loads(answer.out)["jobs"]] == ["b"]
    assert answer.err.startswith("not started again: a may still be running\n")


@pytest.mark.usefixtures("cube_directory")
def test_a_pool_continues_without_hosts_that_are_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlcube.yaml").write_text(
        "docker: {image: x}\ntasks: {t: {parameters: {outputs: {n: made/}}}}\n"
    )
    sweep = ["run", "--host=both", "--task=t", "--sweep=n=1,2", "--output=json", "--retries=0"]
    assert run([*sweep, "--memory=4g"]) == 120
    run_id = json.loads(capsys.readouterr().out)["run"]
    choice = choose_jobs(run_id, JobFilter(failed=True, gone=("a",)), pytest.fail)
    kept = choice.options(StartOptions(wait=True), reconnect_timeout=1.0)
    assert (kept.hosts.names, kept.sweep.retries, kept.container.engine.memory) == (("b",), 0, "4g")
    assert kept.start.wait
    assert kept.sweep.retry_on == {"host"}
    given = choice.options(
        StartOptions(), reconnect_timeout=1.0, retries=5, retry_on=frozenset({"task"})
    ).sweep
    assert (given.retries, given.retry_on) == (5, frozenset({"task"}))
    lost = choose_jobs(run_id, JobFilter(failed=True, gone=("a,b",)), pytest.fail)
    with pytest.raises(UsageError, match="has no other host than a, b"):
        lost.options(StartOptions(), reconnect_timeout=1.0)


@pytest.mark.usefixtures("cube_directory")
def test_a_job_is_repeated_on_another_host_as_a_new_run(capsys: pytest.CaptureFixture[str]) -> None:
    run_id = run_and_fail(capsys, "--name=mine")
    with pytest.raises(UsageError, match="--on: expected only with --verify"):
        run(["rerun", run_id, "--on=b"])
    with pytest.raises(UsageError, match="--on: expected one job, not a, b"):
        run(["rerun", run_id, "--verify", "--on=b"])
    assert run(["rerun", f"{run_id}/a", "--verify", "--on=b", "--output=json"]) == 120
    answer = capsys.readouterr()
    document = json.loads(answer.out)
    assert document["run"] != run_id
    assert [(job["host"], job["attempt"]) for job in document["jobs"]] == [("b", 1)]
    assert "not compared: a has no earlier outputs" in answer.err
    with pytest.raises(UsageError, match="c"):
        run(["rerun", f"{run_id}/a", "--verify", "--on=c"])


@pytest.mark.usefixtures("cube_directory")
def test_an_impossible_rerun_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    Store().write("261123-190233-" + "c" * 16, RUN, {"jobs": []})
    with pytest.raises(UsageError, match="did not record its arguments"):
        run(["rerun", "cccc", "--failed"])
    with pytest.raises(UsageError, match="was started on this machine"):
        run(["rerun", "nothing"])


@pytest.mark.usefixtures("cube_directory")
@pytest.mark.parametrize("option", ["--fail-fast", "--max-failures=2"])
def test_a_detached_client_cannot_count_failures(option: str) -> None:
    with pytest.raises(UsageError, match="--detach cannot be combined with"):
        run(["run", "--host=both", "--task=t", "--detach", option])


@pytest.mark.usefixtures("cube_directory")
@pytest.mark.parametrize("arguments", [["mine/b"], ["last", "--job=b"], ["--job=b"]])
def test_one_job_of_a_named_run_is_run_again(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run_and_fail(capsys, "--name=mine")
    assert run(["rerun", *arguments, "--output=json"]) == 120
    document = json.loads(capsys.readouterr().out)
    assert [(job["host"], job["attempt"]) for job in document["jobs"]] == [("b", 2)]
    assert Store().name_of(document["run"]) == "mine", "a rerun keeps the name"


@pytest.mark.usefixtures("cube_directory")
def test_a_rerun_of_random_points_has_the_same_points(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlcube.yaml").write_text(
        "docker: {image: x}\ntasks: {t: {parameters: {inputs: {c: {type: file, default: c.yaml}}}}}"
    )
    (tmp_path / "workspace/c.yaml").write_text("lr: 1\n")
    sweep = ["--sweep=lr=log:1e-4..1e-1", "--sample=2", "--retries=0", "--output=json"]
    assert run(["run", "--host=both", "--task=t", *sweep]) == 120
    answer = capsys.readouterr()
    assert "random points; --seed=" in answer.err
    first = json.loads(answer.out)
    assert run(["rerun", "--failed", "--output=json"]) == 120
    again = json.loads(capsys.readouterr().out)
    points = [[job["parameters"] for job in document["jobs"]] for document in (first, again)]
    assert points[0] == points[1]
    assert len({point["lr"] for point in points[0]}) == 2
