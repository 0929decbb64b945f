# SPDX-License-Identifier: Apache-2.0
"""Results of several hosts, and what is run again."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import yaml

from mlcube_remote.sandbox.engine import docker
from tests.support.command_line import on, run
from tests.support.cubes import FILE, shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory


def test_several_hosts_each_have_a_folder_of_results(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], copy_cube: Path
) -> None:
    hosts = (ssh_host("docker"), ssh_host("dash"))
    done = run(inventory_of(*hosts), copy_cube, "--host=all_of_them", "--task=copy")
    assert done.returncode == 0, done.stderr
    (results,) = (copy_cube / "results").iterdir()
    for host in hosts:
        assert (results / host.name / "out/copy.txt").read_text() == "hello\n"
        assert f"{host.name} | hello".encode() in done.stdout
    assert not (copy_cube / "workspace/out").exists()


MEASURE = shell_task(
    'o=${0#*=}; echo "{\\"accuracy\\": 0.$(hostname | tr -dc 0-9 | cut -c1-3)5}" >"$o"; '
    'mkdir "${1#*=}/d"; echo x >"${1#*=}/d/x"',
    outputs={"metrics": {**FILE, "default": "m.json"}, "model": {"default": "model/"}},
)


def results(run_id: str, *options: str) -> str:
    argv = [sys.executable, "-m", "mlcube_remote", "results", "show", run_id, *options]
    return subprocess.run(argv, capture_output=True, check=True, text=True).stdout


def test_the_results_of_several_hosts_are_indexed_and_compared(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> None:
    hosts = (ssh_host("docker"), ssh_host("dash"))
    cube = write_cube(tmp_path / "cube", {"measure": MEASURE})
    done = run(inventory_of(*hosts), cube, "--host=all_of_them", "--task=measure")
    assert done.returncode == 0, done.stderr
    (folder,) = (cube / "results").iterdir()
    assert f"mlcube-remote results show {folder.name}" in done.stderr.decode()
    index = json.loads((folder / "results.json").read_text())
    assert [job["host"] for job in index["jobs"]] == [host.name for host in hosts]
    for job in index["jobs"]:
        assert (job["status"], job["exit_code"]) == ("succeeded", 0)
        assert job["started"] <= job["finished"]
        metrics, model = job["outputs"]
        written = (folder / metrics["path"]).read_bytes()
        assert metrics["sha256"] == hashlib.sha256(written).hexdigest()
        assert (metrics["size"], metrics["files"]) == (len(written), 1)
        assert (model["size"], model["files"]) == (2, 1)
        assert metrics["metrics"] == json.loads(written)
    rows = list(csv.DictReader(results(folder.name, "--csv", "--sort=-accuracy").splitlines()))
    best = [float(row["accuracy"]) for row in rows]
    assert best == sorted(best, reverse=True)


def test_programs_learn_what_happens_and_how_it_ended(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> None:
    hosts = (ssh_host("docker"), ssh_host("dash"))
    good, bad = (host.name for host in hosts)
    inventory = inventory_of(*hosts)
    described = yaml.safe_load(inventory.read_text())
    described["hosts"][bad]["env"] = {"CODE": "3"}
    inventory.write_text(yaml.safe_dump(described))
    cube = write_cube(tmp_path / "cube", {"try": shell_task("echo on; exit $CODE")})
    events, report = tmp_path / "events.jsonl", tmp_path / "report.xml"
    done = run(
        inventory,
        cube,
        "--host=all_of_them",
        "--task=try",
        f"--events={events}",
        f"--junit={report}",
    )
    assert done.returncode == 1, done.stderr
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert (lines[0]["event"], lines[0]["jobs"]) == ("run-started", [good, bad])
    assert (lines[-1]["event"], lines[-1]["exit_code"]) == ("run-finished", 1)
    for host in (good, bad):
        mine = [line for line in lines if line.get("host") == host]
        stages = [line["stage"] for line in mine if line["event"] == "stage-finished"]
        assert stages == ["connect", "sync", "configure", "run", "pull"]
        text = "".join(line["text"] for line in mine if line["event"] == "output")
        assert text == "on\n"
        assert mine[-1]["event"] == "job-finished"
    cases = {case.get("classname"): case for case in ET.parse(report).iter("testcase")}  # noqa: S314
    assert {name: [child.tag for child in case] for name, case in cases.items()} == {
        good: [],
        bad: ["failure"],
    }


def test_only_what_failed_runs_again_into_the_same_results(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> None:
    hosts = (ssh_host("docker"), ssh_host("dash"))
    good, bad = (host.name for host in hosts)
    inventory = inventory_of(*hosts)
    cured = inventory.read_text()
    described = yaml.safe_load(cured)
    described["hosts"][bad]["env"] = {"CODE": "3"}
    inventory.write_text(yaml.safe_dump(described))
    task = shell_task(
        'date +%N >"${0#*=}"; exit ${CODE:-0}', outputs={"made": {**FILE, "default": "made"}}
    )
    cube = write_cube(tmp_path / "cube", {"try": task})
    done = run(inventory, cube, "--host=all_of_them", "--task=try")
    assert done.returncode == 1, done.stderr
    (folder,) = (cube / "results").iterdir()
    again = f"mlcube-remote rerun {folder.name} --failed"
    logs = f"mlcube-remote logs {folder.name}/{bad}"
    assert done.stderr.decode().endswith(
        f"1 task failed: {bad}\n  read its output:  {logs}\n  run it again:     {again}\n"
    )
    before = (folder / good / "made").read_text()
    inventory.write_text(cured)
    done = subprocess.run(
        [sys.executable, "-m", *again.replace("-", "_", 1).split()],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert good.encode() not in done.stderr
    jobs = json.loads(results(folder.name, "--json"))["jobs"]
    assert [(job["host"], job["status"], job["attempt"]) for job in jobs] == [
        (good, "succeeded", 1),
        (bad, "succeeded", 2),
    ]
    assert (folder / good / "made").read_text() == before, "it ran once"
    assert not (cube / "workspace/made").exists()
    done = subprocess.run(
        [sys.executable, "-m", "mlcube_remote", "status", folder.name, "--output=json"],
        capture_output=True,
        check=False,
    )
    assert [job["status"] for job in json.loads(done.stdout)["jobs"]] == ["succeeded"] * 2


def test_with_fail_fast_the_others_are_stopped(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> None:
    hosts = (ssh_host("docker"), ssh_host("dash"))
    patient, quick = (host.name for host in hosts)
    inventory = inventory_of(*hosts)
    described = yaml.safe_load(inventory.read_text())
    described["hosts"][quick]["env"] = {"CODE": "3"}
    inventory.write_text(yaml.safe_dump(described))
    cube = write_cube(
        tmp_path / "cube",
        {"try": shell_task('test -z "$CODE" || exit 3; trap "exit 143" TERM; sleep 120 & wait')},
    )
    done = run(inventory, cube, "--host=all_of_them", "--task=try", "--fail-fast", "--output=json")
    assert done.returncode == 1, done.stderr
    jobs = {job["host"]: job for job in json.loads(done.stdout)["jobs"]}
    assert jobs[quick]["status"] == "failed"
    assert jobs[patient]["status"] == "cancelled"
    assert jobs[patient]["error"]["message"] == f"cancelled: {quick} had failed"
    assert not docker(
        "ps",
        "--quiet",
        "--filter",
        f"label=org.mlcommons.mlcube-remote.run={json.loads(done.stdout)['run']}",
    )


def test_the_results_of_one_host_are_known_until_they_are_cleaned_away(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    cube = write_cube(tmp_path / "cube", {"measure": MEASURE})
    done = on(ssh_host(), cube, "--task=measure", "--output=json")
    run_id = json.loads(done.stdout)["run"]
    first = json.loads(results(run_id, "--json"))
    assert on(ssh_host(), cube, "--task=measure").returncode == 0, "which writes the same files"
    assert json.loads(results(run_id, "--json")) == first
    assert first["jobs"][0]["outputs"][0]["metrics"].keys() == {"accuracy"}
    assert not (cube / "results").exists()
