# SPDX-License-Identifier: Apache-2.0
"""Where outputs are written, and where they are downloaded to."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest

from mlcube_remote.inventory.model import LOCAL_HOST, Host
from mlcube_remote.plan.host_paths import cube_directory
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.plan.plan import plan_jobs
from tests.support.plans import HOST, probed, refused, request


def test_several_hosts_cannot_write_one_path(root: Path) -> None:
    hosts = (HOST, Host(name="i"))
    error = refused(request(root, "make", hosts=hosts, data="local:/tmp/x/"))
    assert "2 hosts would all write /tmp/x" in str(error)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_results_must_be_writable(root: Path) -> None:
    (root / "workspace").chmod(0o500)
    assert "is not writable" in str(refused(request(root, "make")))


def test_results_must_be_writable_also_for_root(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    error = refused(request(root, "make"))
    assert "outputs cannot be written" in str(error)
    assert error.exit_code == 2


def test_each_of_several_hosts_has_its_own_results(root: Path) -> None:
    hosts = (HOST, Host(name="i"), LOCAL_HOST)
    jobs = plan_jobs(request(root, "make", hosts=hosts))
    assert [job.results for job in jobs] == [
        root / "results/run/h",
        root / "results/run/i",
        None,
    ]


def pulled(job: JobSpec, *, results: Path | None) -> dict[str, str]:
    found = probed(attrs.evolve(job, results=results)).folders
    return {
        f"{folder.remote}/{item.path}": str(folder.target)
        for folder in found
        for item in folder.outputs
    }


def test_outputs_are_downloaded_from_where_tasks_write_them(root: Path, tmp_path: Path) -> None:
    (job,) = plan_jobs(request(root, "make"))
    room = f"/r/{cube_directory(job.request.cube)}"
    assert pulled(job, results=None) == {f"{room}/workspace/data": str(root / "workspace")}
    assert pulled(job, results=tmp_path) == {f"{room}/workspace/data": str(tmp_path)}
    (job,) = plan_jobs(request(root, "make", data="/on/host/"))
    assert pulled(job, results=None) == {}
    (job,) = plan_jobs(request(root, "make", data=f"local:{tmp_path}/back/"))
    (where,) = pulled(job, results=None).values()
    assert where == str(tmp_path)
    (job,) = plan_jobs(request(root, "make", data="../beside/"))
    assert pulled(job, results=tmp_path) == {f"{room}/beside": str(tmp_path / "cube")}
