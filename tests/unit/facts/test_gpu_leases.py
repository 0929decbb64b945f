# SPDX-License-Identifier: Apache-2.0
"""GPUs that are a job's own: how many it requests, which it gets, and the options of engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.commands.model import Options
from mlcube_remote.cube.load import load
from mlcube_remote.errors import BusyError, HostError, HostUnfitError, UsageError
from mlcube_remote.facts import gpu_leases as leases
from mlcube_remote.facts.gpu_leases import lease_gpus
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan.gpu_requests import Device, check_gpus_option, format_devices
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.plan.job_plan import make_plan
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import FakeConnection

A, B = Device("0", "GPU-a"), Device("3", "GPU-b")
TOO_FEW = Reply(16, b"free=1\0total=4\0", b"")


def planned(
    root: Path, cube: str, *, options: Options, platform: str, **settings: object
) -> JobSpec:
    (root / "mlcube.yaml").write_text(
        f"name: c\n{cube}\ndocker: {{image: x}}\ntasks: {{go: {{}}}}\n"
    )
    host = Host(name="h", platform=platform, remote_root="/r", settings={"docker": settings})
    what = RunRequest(cube=load(root), hosts=(host,), tasks=("go",), run_id="run", options=options)
    return plan_jobs(what)[0]


@pytest.mark.parametrize(
    ("cube", "gpus", "platform", "settings", "count"),
    [
        ("", "2", "docker", {}, 2),
        ("", "2", "podman", {}, 2),
        ("", "2", "singularity", {}, 2),
        ("", None, "docker", {}, 0),
        ("platform: {accelerator_count: 3}", None, "docker", {}, 3),
        ("platform: {accelerator_count: 3}", "1", "docker", {}, 1),
        ("platform: {accelerator_count: 3}", "0", "docker", {}, 0),
        ("platform: {accelerator_count: 0}", None, "docker", {}, 0),
        ("platform: {accelerator_count: 3}", None, "singularity", {}, 0),
        ("platform: {accelerator_count: 3}", None, "docker", {"--gpus": "all"}, 0),
        ("", "all", "docker", {}, 0),
        ("", "device=1,2", "docker", {}, 0),
        ("", "", "docker", {}, 0),
    ],
)
def test_a_number_of_gpus_is_what_a_job_asks_for(
    tmp_path: Path,
    cube: str,
    gpus: str | None,
    platform: str,
    settings: dict[str, object],
    count: int,
) -> None:
    job = planned(tmp_path, cube, options=Options(gpus=gpus), platform=platform, **settings)
    assert make_plan(job).gpus == count


@pytest.mark.parametrize(
    ("platform", "devices", "expected"),
    [
        ("docker", (A,), "device=GPU-a"),
        ("docker", (A, B), '"device=GPU-a,GPU-b"'),
        ("podman", (A, B), "device=0,3"),
        ("singularity", (A, B), "device=GPU-a,GPU-b"),
    ],
)
def test_engines_are_reported_in_their_own_words(
    platform: str, devices: tuple[Device, ...], expected: str
) -> None:
    assert format_devices(platform, devices) == expected


def test_the_container_gets_the_devices_and_bears_their_names(tmp_path: Path) -> None:
    job = planned(tmp_path, "", options=Options(gpus="2"), platform="docker")
    (leased,) = make_plan(job, devices=(A, B)).tasks
    (plain,) = make_plan(job).tasks
    assert '--gpus="device=GPU-a,GPU-b"' in leased.commands.run[-1]
    assert leased.labels["org.mlcommons.mlcube-remote.gpus"] == "GPU-a,GPU-b"
    assert "org.mlcommons.mlcube-remote.gpus" not in plain.labels
    assert leased.container == plain.container


def test_what_the_host_leased_is_reported() -> None:
    host = FakeConnection("gpu01")
    host.answer("mlcr_lease_gpus", Reply(0, b"gpu=0 GPU-a\0gpu=3 GPU-b\0", b""))
    engine = ("sudo", "my docker")
    assert lease_gpus(host, "/r/jobs/j", 2, engine=engine, only=("0", "3")) == (A, B)
    assert host.calls[0].args == ("/r/jobs/j", "2", "sudo 'my docker'", "0", "3")
    host = FakeConnection("gpu01")
    host.answer("mlcr_lease_gpus", Reply(127, b"", b""))
    assert lease_gpus(host, "/r/jobs/j", 2) == (), "the engine reports it"


def test_too_few_free_gpus_are_reported_or_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_POLL_INTERVAL_S", 0.0)
    host = FakeConnection("gpu01")
    host.answer("mlcr_lease_gpus", TOO_FEW, TOO_FEW, TOO_FEW, Reply(0, b"gpu=0 GPU-a\0", b""))
    with pytest.raises(
        BusyError, match="gpu01: 1 of 4 GPUs are free, and the job asks for 2"
    ) as caught:
        lease_gpus(host, "/r/jobs/j", 2)
    assert "--wait" in str(caught.value.hint)
    said: list[str] = []
    assert lease_gpus(host, "/r/jobs/j", 2, wait=said.append) == (A,)
    assert said == ["1 of 4 GPUs are free, and the job asks for 2"], "once"


def test_nobody_waits_for_more_gpus_than_there_are() -> None:
    host = FakeConnection("gpu01")
    host.answer("mlcr_lease_gpus", Reply(16, b"free=4\0total=4\0", b""))
    with pytest.raises(HostUnfitError, match="asks for 5 GPUs, and the host has 4") as caught:
        lease_gpus(host, "/r/jobs/j", 5, wait=lambda _: None)
    assert "ask for fewer" in str(caught.value.hint)
    host = FakeConnection("gpu01")
    host.answer("mlcr_lease_gpus", Reply(1, b"", b"mkdir: cannot create\n"))
    with pytest.raises(HostError, match="GPUs could not be leased: mkdir: cannot create"):
        lease_gpus(host, "/r/jobs/j", 1)


def test_the_error_if_other_jobs_lease_gpus_at_the_same_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "_POLL_INTERVAL_S", 0.0)
    monkeypatch.setattr(leases, "_STEP_S", 0.0)
    met, leased = Reply(18, b"", b""), Reply(0, b"gpu=0 GPU-a\0", b"")
    host = FakeConnection("gpu01")
    host.answer("mlcr_lease_gpus", met, met, leased)
    assert lease_gpus(host, "/r/jobs/j", 1) == (A,), "they met twice, and then no more"
    host = FakeConnection("gpu01")
    host.answer("mlcr_lease_gpus", met)
    with pytest.raises(BusyError) as caught:
        lease_gpus(host, "/r/jobs/j", 1)
    assert (
        str(caught.value) == "gpu01: other jobs leased GPUs at the same moment in each of 10 tries"
    )
    assert caught.value.exit_code == 117
    assert "--wait" in str(caught.value.hint)
    assert len(host.calls) == 10
    host = FakeConnection("gpu01")
    host.answer("mlcr_lease_gpus", *[met] * 25, leased)
    said: list[str] = []
    assert lease_gpus(host, "/r/jobs/j", 1, wait=said.append) == (A,)
    assert said == [caught.value.reason], "once"


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "0", "2", "all", "device=0", "device=0,1", '"device=GPU-a,GPU-b"'),
        *("all,capabilities=utility", "count=2,driver=nvidia", "device=0,1,capabilities=gpu"),
    ],
)
def test_what_engines_understand_is_handed_to_them(value: str | None) -> None:
    check_gpus_option(value)


@pytest.mark.parametrize("value", ["-1", "1.5", "two", "device=", "device=0 1", "0,1", " ", "٣"])
def test_gpus_that_no_engine_understands_are_refused(value: str) -> None:
    with pytest.raises(UsageError, match="expected a number, all, or device=0,1") as caught:
        check_gpus_option(value)
    assert caught.value.hint == ("--gpus=device=0,1" if value == "0,1" else None)
