# SPDX-License-Identifier: Apache-2.0
"""Records of runs: what is written, and what earlier versions have written."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from mlcube_remote.app.known_hosts import known_hosts
from mlcube_remote.app.options import (
    ContainerOptions,
    CubeOptions,
    HostOptions,
    RunOptions,
    StartOptions,
    SweepOptions,
    TaskOptions,
)
from mlcube_remote.app.record import read_options, record_run
from mlcube_remote.app.request import make_request
from mlcube_remote.commands.model import Options
from mlcube_remote.jobs.lookup import load_recorded, recorded_hosts
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.runs.store import RUN, Store

CUBE = """
name: c
docker: {image: x}
tasks:
  t: {parameters: {inputs: {a: {type: file, default: a.txt}}, outputs: {n: made/}}}
  u: {parameters: {}}
"""

EARLIER = {
    "arguments": ["a=b=c.txt", "a=d.txt"],
    "cpu": None,
    "env_names": ["TOKEN"],
    "gpus": None,
    "hosts": ["gpu1", "gpu2"],
    "inventory": "/lab/hosts.yaml",
    "memory": "4g",
    "mlcube": ".",
    "mount": None,
    "network": None,
    "overrides": ["docker.image=y"],
    "platform": None,
    "retries": 0,
    "retry_on": [],
    "security": None,
    "shard": None,
    "sweep_file": None,
    "sweeps": ["n=1,2", "m= 3"],
    "tasks": ["t, u"],
    "timeout": 90.0,
    "trust_cube": False,
    "ship_image": None,
    "where": [],
    "workspace": None,
}
"""The options in a record of a version in which they were texts."""


def test_a_record_of_an_earlier_version_is_read() -> None:
    assert read_options(EARLIER) == RunOptions(
        hosts=HostOptions(names=("gpu1", "gpu2"), inventory="/lab/hosts.yaml"),
        cube=CubeOptions(overrides=("docker.image=y",)),
        tasks=TaskOptions(
            names=("t", "u"), parameters={"a": "d.txt"}, env=("TOKEN",), timeout=90.0
        ),
        container=ContainerOptions(engine=Options(memory="4g")),
        sweep=SweepOptions(axes={"n": ("1", "2"), "m": ("3",)}, retries=0),
    )


def test_a_record_without_an_option_means_its_default() -> None:
    assert read_options({}) == RunOptions()


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunOptions:
    monkeypatch.setenv("TOKEN", "s3cret")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlcube.yaml").write_text(CUBE)
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/a.txt").touch()
    (tmp_path / "hosts.yaml").write_text("hosts: {a: {}, b: {}}\ngroups: {both: [a, b]}\n")
    return RunOptions(
        hosts=HostOptions(names=("both",), inventory="hosts.yaml"),
        cube=CubeOptions(path=str(tmp_path), overrides=("docker.image=y",)),
        tasks=TaskOptions(
            names=("t",),
            parameters={"a": "a.txt"},
            env=("TOKEN",),
            timeout=9.0,
            grace=5.0,
            allow_missing=("a",),
            fresh_outputs=True,
            copy_links=True,
        ),
        container=ContainerOptions(
            platform="docker", engine=Options(gpus="0", memory="4g"), trust_cube=True
        ),
        sweep=SweepOptions(axes={"n": ("1", "2")}, retry_on=frozenset({"task", "host"})),
        start=StartOptions(wait=True, parallel=1),
    )


def test_options_survive_a_record_with_their_names_resolved(
    options: RunOptions, tmp_path: Path
) -> None:
    request, _ = make_request(options)
    store = record_run(request, plan_jobs(request), options)
    document = store.read(request.run_id, RUN)
    assert document is not None
    keys = document["began"]["options"].keys()
    new = {"allow_missing", "copy_links", "fresh_outputs", "grace", "sample", "seed", "slurm"}
    assert keys == EARLIER.keys() | new, "other versions read them"
    assert "s3cret" not in json.dumps(document)
    assert read_options(document["began"]["options"]) == attrs.evolve(
        options,
        hosts=HostOptions(names=("a", "b"), inventory=str(tmp_path / "hosts.yaml")),
        start=StartOptions(),
    )


def test_a_rerun_keeps_the_record_of_the_first_start(options: RunOptions) -> None:
    request, _ = make_request(options)
    record_run(request, plan_jobs(request), options)
    before = Store().read(request.run_id, RUN)
    again = attrs.evolve(options, run_id=request.run_id, attempts={"02": 2})
    request, _ = make_request(attrs.evolve(again, tasks=attrs.evolve(again.tasks, timeout=1.0)))
    record_run(request, plan_jobs(request), again)
    after = Store().read(request.run_id, RUN)
    assert before is not None
    assert after is not None
    assert after["began"] == before["began"]
    assert [job["attempt"] for job in after["jobs"]] == [1, 2]


def test_a_run_on_a_destination_is_found_again_by_ps(options: RunOptions) -> None:
    typed = "alice@192.0.2.7:2222"
    options = attrs.evolve(options, hosts=HostOptions(names=(typed,)), sweep=SweepOptions())
    request, inventory = make_request(options)
    jobs = plan_jobs(request)
    store = record_run(request, jobs, options)
    store.write(request.run_id, jobs[0].id, {"status": "running"})

    assert recorded_hosts(request.run_id, store) == [typed]
    (found,) = known_hosts(attrs.evolve(inventory, hosts={}), lambda _: None)
    assert (found.user, found.address, found.port) == ("alice", "192.0.2.7", 2222)
    assert load_recorded(request.run_id, store, [found]).jobs
