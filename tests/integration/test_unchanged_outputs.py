# SPDX-License-Identifier: Apache-2.0
"""Only what a task made or updated is a result of its run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command_line import again, on, run
from tests.support.cubes import FILE, shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

TRAIN = shell_task(
    'how=$(cat "${0#*=}"); m=${1#*=}; o=${2#*=}; case $how in '
    'all) echo "{\\"accuracy\\": 0.99}" >"$m"; echo 1 >"$o/ckpt1"; echo 1 >"$o/ckpt2" ;; '
    'some) echo 2 >"$o/ckpt2"; echo 2 >"$o/ckpt3" ;; '
    "fail) exit 4 ;; esac",
    inputs={"how": {**FILE, "default": "how"}},
    outputs={"model": {"default": "model/"}, "metrics": {**FILE, "default": "metrics.json"}},
)
"""Writes as many of its outputs as its input says."""


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    return write_cube(tmp_path / "cube", {"train": TRAIN})


def train(host: SshHost, cube: Path, how: str, *options: str) -> tuple[dict[str, Any], int, str]:
    """Run the task, and return its job's document, the exit code and the messages."""
    (cube / "workspace/how").write_text(how)
    done = on(host, cube, "--task=train", "--output=json", *options)
    document = json.loads(done.stdout)
    (job,) = document["jobs"]
    job["run"] = document["run"]
    return job, done.returncode, done.stderr.decode()


def found(job: dict[str, Any], name: str) -> dict[str, Any]:
    (output,) = (each for each in job["outputs"] if each["name"] == name)
    return dict(output)


def states(job: dict[str, Any]) -> dict[str, str]:
    return {output["name"]: output["state"] for output in job["outputs"]}


@pytest.mark.parametrize("flavour", ["docker", "apptainer", "busybox"])
def test_an_old_output_is_no_result_of_a_later_run(
    ssh_host: HostFactory, cube: Path, flavour: str
) -> None:
    host, workspace = ssh_host(flavour), cube / "workspace"
    platform = f"--platform={'apptainer' if flavour == 'apptainer' else 'docker'}"
    first, code, _ = train(host, cube, "all", platform)
    assert (code, states(first)) == (0, {"model": "made", "metrics": "made"})
    assert found(first, "metrics")["metrics"] == {"accuracy": 0.99}

    (workspace / "metrics.json").unlink()
    (workspace / "model/ckpt1").unlink()
    second, code, said = train(host, cube, "some", platform)
    assert (code, states(second)) == (0, {"model": "updated", "metrics": "unchanged"})
    metrics = found(second, "metrics")
    assert (metrics["metrics"], metrics["sha256"]) == ({}, None)
    assert "train did not write its output metrics" in said
    # What was removed here does not come back; what the run made and updated does.
    assert not (workspace / "metrics.json").exists()
    assert {path.name: path.read_text() for path in (workspace / "model").iterdir()} == {
        "ckpt2": "2\n",
        "ckpt3": "2\n",
    }
    shown = again("results", "show", second["run"]).stdout.decode()
    assert "0.99" not in shown
    assert "unchanged, so not of this run: metrics" in shown

    third, code, _ = train(host, cube, "fail", platform)
    assert (code, states(third)) == (4, {"model": "unchanged", "metrics": "unchanged"})
    assert "0.99" not in again("results", "show", third["run"]).stdout.decode()
    assert not (workspace / "metrics.json").exists()

    # It can be had all the same, and does not count either.
    done = again("pull", third["run"], "--only=metrics")
    assert done.returncode == 4
    assert json.loads((workspace / "metrics.json").read_text()) == {"accuracy": 0.99}
    assert "0.99" not in again("results", "show", third["run"]).stdout.decode()


def test_fresh_outputs_are_required(ssh_host: HostFactory, cube: Path, tmp_path: Path) -> None:
    host = ssh_host("docker")
    _, code, _ = train(host, cube, "all", "--fresh-outputs")
    assert code == 0
    report = tmp_path / "junit.xml"
    job, code, _ = train(host, cube, "some", "--fresh-outputs", f"--junit={report}")
    assert (code, job["exit_code"], job["status"]) == (119, 119, "failed")
    (task,) = job["tasks"]
    assert (task["exit_code"], task["reason"]) == (
        0,
        "exited 0 and left its output metrics unchanged (--fresh-outputs)",
    )
    assert "<failure" in report.read_text()
    assert "unchanged outputs, which are no results of this run: metrics" in report.read_text()
    # Other commands find the same, and rerun keeps the option.
    assert again("wait", job["run"]).returncode == 119
    assert again("status", job["run"]).returncode == 119
    assert again("rerun", job["run"]).returncode == 119
    assert again("rerun", job["run"], "--no-fresh-outputs").returncode == 0


def test_a_run_on_this_machine_marks_unchanged_outputs_too(cube: Path, tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(f"hosts: {{local: {{remote_root: {tmp_path}/root}}}}\n")

    def here(how: str) -> dict[str, Any]:
        (cube / "workspace/how").write_text(how)
        done = run(inventory, cube, "--host=local", "--task=train", "--output=json")
        assert done.returncode == 0, done.stderr.decode()
        (job,) = json.loads(done.stdout)["jobs"]
        return dict(job)

    assert states(here("all")) == {"model": "made", "metrics": "made"}
    job = here("some")
    assert states(job) == {"model": "updated", "metrics": "unchanged"}
    assert found(job, "metrics")["metrics"] == {}


def test_a_file_of_the_same_size_and_second_is_pulled(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    script = (
        'cp "${0#*=}" "${1#*=}"; touch -d "2026-01-02 03:04:05.$(cat "${0#*=}")00000" "${1#*=}"'
    )
    task = shell_task(
        script,
        inputs={"how": {**FILE, "default": "how"}},
        outputs={"copy": {**FILE, "default": "copy"}},
    )
    cube = write_cube(tmp_path / "cube", {"train": task})
    host = ssh_host("docker")
    for fraction in ("1111", "2222"):
        job, code, _ = train(host, cube, fraction)
        assert (code, (cube / "workspace/copy").read_text()) == (0, fraction)
        assert states(job)["copy"] in {"made", "updated"}


def test_an_output_that_stays_on_the_host_is_compared_too(
    ssh_host: HostFactory, cube: Path
) -> None:
    host = ssh_host("docker")
    place = "metrics=~/kept/metrics.json"
    job, code, said = train(host, cube, "all", place, "--fresh-outputs")
    assert (code, states(job), "did not write" in said) == (0, {"model": "made"}, False), said
    _, code, said = train(host, cube, "some", place)
    assert code == 0
    assert "train did not write its output metrics" in said
    assert "mlcube-remote pull" not in said, "it cannot be pulled"
    _, code, _ = train(host, cube, "some", place, "--fresh-outputs")
    assert code == 119
