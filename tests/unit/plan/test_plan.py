# SPDX-License-Identifier: Apache-2.0
"""Options and variables of a plan, and the names of its things on a host."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.commands.model import Options
from mlcube_remote.cube.load import load
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.job_plan import make_plan
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.runs.ids import client_id, container_name, is_run_id, new_run_id, slug
from mlcube_remote.secret import Secret
from tests.support.plans import HOST, probed, refused, request


@pytest.mark.parametrize(
    ("platform", "options", "expected"),
    [
        ("singularity", Options(memory="4g"), "--memory=4g: it limits only virtual machines"),
        ("singularity", Options(cpu="0-1"), "--cpu=0-1: it limits only virtual machines"),
        ("singularity", Options(security="label=x"), "--security=label=x: it knows uid:, gid:"),
        ("apptainer", Options(security="label=x"), "--security=label=x: it knows uid:, gid:"),
    ],
)
def test_an_option_that_the_platform_ignores_is_rejected(
    root: Path, platform: str, options: Options, expected: str
) -> None:
    run_request = attrs.evolve(request(root, "make", platform=platform), options=options)
    error = refused(run_request)
    assert str(error).startswith(f"h: {platform} cannot apply {expected}")
    assert "--platform" in str(error.hint)
    assert dry_run(run_request)[0], "the commands are shown all the same"


@pytest.mark.parametrize(
    ("platform", "options"),
    [
        ("apptainer", Options(memory="4g", cpu="0", security="seccomp:/x", network="none")),
        ("singularity", Options(security="no-new-privileges", network="none", gpus="1")),
        ("docker", Options(memory="4g", cpu="0", security="label=x")),
    ],
)
def test_an_option_that_may_have_an_effect_is_accepted(
    root: Path, platform: str, options: Options
) -> None:
    assert plan_jobs(attrs.evolve(request(root, "make", platform=platform), options=options))


def test_limits_of_a_virtual_machine_are_accepted_if_there_is_one(root: Path) -> None:
    host = attrs.evolve(HOST, settings={"singularity": {"run_args": "--vm"}})
    run_request = request(root, "make", hosts=(host,), platform="singularity")
    (job,) = plan_jobs(attrs.evolve(run_request, options=Options(memory="4g")))
    assert not any("--vm-ram" in text for text in probed(job).image.warnings)


def test_variables_come_from_the_host_the_shell_and_the_command_line(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_HERE", "here")
    monkeypatch.delenv("NOT_HERE", raising=False)
    variables = {"FIXED": Secret("1"), "FROM_HERE": None, "NOT_HERE": None, "BOTH": Secret("host")}
    run_request = RunRequest(
        cube=load(root),
        hosts=(Host(name="h", env=variables),),
        tasks=("make",),
        run_id="run",
        env={"BOTH": Secret("mine")},
    )
    (job,) = plan_jobs(run_request)
    plan = make_plan(job)
    assert plan.env == {"FIXED": Secret("1"), "FROM_HERE": Secret("here"), "BOTH": Secret("mine")}
    assert "mine" not in repr(plan)
    monkeypatch.setenv("FROM_HERE", "a secret of this shell")
    assert "a secret of this shell" not in repr(make_plan(plan_jobs(attrs.evolve(run_request))[0]))


def test_names_are_unique() -> None:
    first, second = new_run_id(), new_run_id()
    assert is_run_id(first)
    assert first != second
    assert not is_run_id("latest")
    assert slug("a/b c", of="/x") != slug("a/b c", of="/y")
    assert slug("a/b c", of="/x").startswith("a_b_c-")
    assert slug("..", of="/x").startswith("cube-")
    assert len(client_id()) == 12
    assert container_name("1000", "job", 2) == "mlcr-1000-job-2"
