# SPDX-License-Identifier: Apache-2.0
"""Runs on Singularity and Apptainer on this machine; a script replaces the engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
import yaml

from mlcube_remote import yamlsource
from mlcube_remote.cube.system_settings import SystemSettings
from mlcube_remote.errors import PlanError, UsageError
from mlcube_remote.facts.check import check_all
from mlcube_remote.inventory.model import ConnectionKind, Host
from mlcube_remote.transport.local import LocalConnection
from tests.support.waiting import wait_for

ENGINE = r"""#!/bin/sh
# Acts as Apptainer: "build" copies the recipe into the image, "run" tells what it was given.
case $1 in
--version) echo "apptainer version 1.4.5" ;;
build)
    while [ $# -gt 2 ]; do shift; done
    echo "building $1" >>"$ENGINE_LOG"
    while [ -e "$ENGINE_LOG.hold" ]; do sleep 0.05; done
    if [ -e "$ENGINE_LOG.fail" ]; then
        echo 'FATAL:   While performing build: no good' >&2
        exit 255
    fi
    cat "$2" >"$1"
    ;;
run)
    env | grep ENV_ || :
    while [ $# -gt 3 ]; do shift; done
    echo "ran $2 in $(cat "$1")"
    echo made >"${PWD%/cube}/cube/workspace/out/made.txt"
    ;;
esac
"""


@attrs.frozen
class Scenario:
    """A cube, and a machine with its own engines."""

    root: Path

    @property
    def cube(self) -> Path:
        return self.root / "cube"

    @property
    def log(self) -> Path:
        return self.root / "engine.log"

    @property
    def builds(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    @property
    def images(self) -> list[str]:
        folder = self.cube / "workspace/.image"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def install(self, *names: str) -> None:
        for name in names:
            (self.root / "bin" / name).write_text(ENGINE)
            (self.root / "bin" / name).chmod(0o755)

    def client(self, verb: str, *arguments: str) -> subprocess.Popen[str]:
        options = (f"--mlcube={self.cube}", "--host=local", *arguments)
        return subprocess.Popen(
            [sys.executable, "-m", "mlcube_remote", verb, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.cube,
            env={
                **os.environ,
                "HOME": str(self.root),
                "XDG_STATE_HOME": str(self.root / "state"),
                "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
                "ENGINE_LOG": str(self.log),
                "TOKEN": "hunter2",
            },
        )

    def call(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        with self.client(verb, *arguments) as client:
            out, err = client.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, client.returncode, out, err)


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    made = Scenario(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "cube/workspace").mkdir(parents=True)
    task = {"parameters": {"outputs": {"out": "out/"}}}
    described = {
        "name": "probe",
        "singularity": {"image": "probe.sif", "build_file": "probe.def"},
        "tasks": {"make": task},
    }
    (made.cube / "mlcube.yaml").write_text(yaml.safe_dump(described))
    (made.cube / "probe.def").write_text("recipe one\n")
    return made


@pytest.mark.parametrize(
    ("installed", "platform", "variable"),
    [
        (("singularity",), "singularity", "SINGULARITYENV_TOKEN"),
        (("apptainer",), "singularity", "APPTAINERENV_TOKEN"),
        (("singularity", "apptainer"), "singularity", "SINGULARITYENV_TOKEN"),
        (("apptainer",), "apptainer", "APPTAINERENV_TOKEN"),
        (("singularity",), "apptainer", "SINGULARITYENV_TOKEN"),
        (("singularity", "apptainer"), "apptainer", "APPTAINERENV_TOKEN"),
    ],
)
def test_the_installed_program_is_used(
    scenario: Scenario, installed: tuple[str, ...], platform: str, variable: str
) -> None:
    scenario.install(*installed)
    done = scenario.call("run", "--task=make", f"--platform={platform}", "--env=TOKEN")
    assert done.returncode == 0, done.stderr
    assert variable in done.stdout
    assert "ran make in recipe one" in done.stdout
    assert scenario.images == [".probe.sif.recipe", "probe.sif"]


def test_a_configured_program_is_used(scenario: Scenario) -> None:
    scenario.install("apptainer", "wrapper")
    own = f"-Papptainer.apptainer={scenario.root}/bin/wrapper"
    done = scenario.call("run", "--task=make", "--platform=apptainer", own, "--dry-run")
    assert f"{scenario.root}/bin/wrapper run" in done.stdout
    assert scenario.call("run", "--task=make", "--platform=apptainer", own).returncode == 0
    gone = "-Papptainer.apptainer=no-such-engine"
    done = scenario.call("run", "--task=make", "--platform=apptainer", gone)
    assert done.returncode == 122
    assert "local: no-such-engine was not found" in done.stderr


def test_a_dry_run_shows_the_platforms_own_name(scenario: Scenario) -> None:
    scenario.install("apptainer")
    done = scenario.call("run", "--task=make", "--platform=singularity", "--dry-run")
    image = f"{scenario.cube}/workspace/.image/probe.sif"
    assert f"singularity build --fakeroot {image} probe.def" in done.stdout
    assert f"{image} make" in done.stdout


@pytest.mark.parametrize("platform", ["singularity", "apptainer"])
def test_a_machine_without_either_program_is_rejected_at_once(
    scenario: Scenario, platform: str
) -> None:
    other = {"singularity": "apptainer", "apptainer": "singularity"}[platform]
    done = scenario.call("run", "--task=make", f"--platform={platform}")
    assert done.returncode == 122
    assert f"local: neither {platform} nor {other} was found" in done.stderr
    assert scenario.images == []


def test_an_image_is_built_if_necessary(scenario: Scenario) -> None:
    scenario.install("apptainer")
    configure = ("configure", "--platform=apptainer")
    assert scenario.call(*configure).returncode == 0
    assert scenario.call(*configure).returncode == 0
    assert scenario.call("run", "--platform=apptainer", "--task=make").returncode == 0
    assert scenario.builds == 1
    (scenario.cube / "probe.def").write_text("recipe two\n")
    done = scenario.call("run", "--platform=apptainer", "--task=make")
    assert done.returncode == 0, done.stderr
    assert "the recipe of" in done.stderr
    assert "ran make in recipe two" in done.stdout
    assert scenario.builds == 2


def test_a_failing_build_shows_its_last_lines_and_leaves_nothing(scenario: Scenario) -> None:
    scenario.install("apptainer")
    scenario.log.with_name("engine.log.fail").touch()
    done = scenario.call("configure", "--platform=apptainer")
    assert done.returncode == 122
    image = f"{scenario.cube}/workspace/.image/probe.sif"
    failed = f"local: apptainer.build_file: build of image {image} failed (status 255)"
    said = "FATAL:   While performing build: no good"
    assert f"{failed}: {said} (full output above)\n" in done.stderr
    assert done.stderr.count(said) == 2, "in the output, and in the message"
    assert scenario.images == []
    quiet = scenario.call("configure", "--platform=apptainer", "--quiet")
    assert quiet.stderr.count(said) == 1
    assert f"{failed}:\n" in quiet.stderr
    machine = scenario.call("configure", "--platform=apptainer", "--output=json")
    (job,) = json.loads(machine.stdout)["jobs"]
    assert said in job["error"]["message"]


def test_an_image_without_a_recipe_is_reported(scenario: Scenario) -> None:
    scenario.install("apptainer")
    (scenario.cube / "probe.def").unlink()
    done = scenario.call("run", "--platform=apptainer", "--task=make")
    assert done.returncode == 122
    image = f"{scenario.cube}/workspace/.image/probe.sif"
    assert f"local: apptainer.image: {image} does not exist" in done.stderr
    assert "apptainer.build_file" in done.stderr
    assert "probe.def" in done.stderr
    (scenario.cube / "workspace/.image").mkdir(exist_ok=True)
    Path(image).write_text("an image of one's own")
    for verb in (("configure",), ("run", "--task=make")):
        assert scenario.call(*verb, "--platform=apptainer").returncode == 0


def test_a_killed_client_leaves_no_partial_image(scenario: Scenario) -> None:
    scenario.install("apptainer")
    hold = scenario.log.with_name("engine.log.hold")
    hold.touch()
    with scenario.client("configure", "--platform=apptainer") as client:
        wait_for(lambda: scenario.builds)
        client.send_signal(signal.SIGKILL)
        client.communicate()
    assert "probe.sif" not in scenario.images
    with scenario.client("run", "--platform=apptainer", "--task=make") as another:
        hold.unlink()
        _, said = another.communicate(timeout=60)
    assert another.returncode == 0, said
    assert scenario.images == [".probe.sif.recipe", "probe.sif"]


def test_two_clients_build_an_image_once(scenario: Scenario) -> None:
    scenario.install("singularity")
    hold = scenario.log.with_name("engine.log.hold")
    hold.touch()
    with (
        scenario.client("configure", "--platform=singularity") as first,
        scenario.client("configure", "--platform=singularity") as second,
    ):
        wait_for(lambda: scenario.builds)
        hold.unlink()
        message = [client.communicate(timeout=60)[1] for client in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), message
    assert scenario.builds == 1


def test_a_requested_gpu_must_exist(scenario: Scenario) -> None:
    scenario.install("apptainer")
    run = ("run", "--task=make", "--platform=apptainer")
    done = scenario.call(*run, "--gpus=1")
    assert done.returncode == 122
    assert "local: apptainer cannot apply --gpus=1: the host has none: " in done.stderr
    assert scenario.images == [], "nothing was built for nothing"
    done = scenario.call(*run, "-Papptainer.--nv=true")
    assert done.returncode == 0, done.stderr
    assert "ask for GPUs (--nv), and the host has none: " in done.stderr


def test_an_image_can_be_built_from_an_image_on_the_host(scenario: Scenario) -> None:
    scenario.install("apptainer")
    (scenario.root / "base.sif").write_text("an image of the host")
    run = ("run", "--task=make", "--platform=apptainer")
    done = scenario.call(*run, f"-Papptainer.build_file={scenario.root}/base.sif")
    assert done.returncode == 0, done.stderr
    assert "ran make in an image of the host" in done.stdout
    (scenario.root / "base.sif").write_text("another image of the host")
    done = scenario.call(*run, "-Papptainer.build_file=~/base.sif")
    assert "ran make in another image of the host" in done.stdout


def test_a_container_that_cannot_start_is_no_task_failure(scenario: Scenario) -> None:
    scenario.install("apptainer")
    fatal = "FATAL:   container creation failed: cannot use cgroups"
    build = '[ "$1" != build ] || exec cp "$4" "$3"'
    (scenario.root / "bin/apptainer").write_text(
        f"#!/bin/sh\n{build}\necho '{fatal}' >&2\nexit 255\n"
    )
    done = scenario.call("run", "--task=make", "--platform=apptainer", "--memory=4g")
    assert done.returncode == 122, done.stderr
    assert "local: apptainer cannot apply --memory or --cpu to task make: " in done.stderr


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        ("apptainer", "apptainer version 1.4.5, instead of singularity"),
        ("singularity", "apptainer version 1.4.5"),
        (None, "neither singularity nor apptainer was found"),
    ],
)
def test_a_check_uses_the_installed_program(
    installed: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    if installed is not None:
        Scenario(tmp_path).install(installed)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    host = Host(name="local", connection=ConnectionKind.LOCAL, remote_root=str(tmp_path / "root"))
    (answer,) = check_all([host], LocalConnection, platform="singularity")
    (engine,) = [check for check in answer.checks if check.name == "engine"]
    assert (engine.detail, engine.passed) == (message, installed is not None)


def test_a_check_uses_the_program_of_the_users_own_platform(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    Scenario(tmp_path).install("apptainer")
    text = f"platforms: {{sifs: {{runner: singularity, singularity: {tmp_path}/bin/apptainer}}}}"
    system = SystemSettings(
        document=yamlsource.parse(text, path=tmp_path / "own.yaml", error=UsageError)
    )
    host = Host(name="local", connection=ConnectionKind.LOCAL, remote_root=str(tmp_path / "root"))
    (answer,) = check_all([host], LocalConnection, platform="sifs", system=system)
    (engine,) = [check for check in answer.checks if check.name == "engine"]
    configured = f"as configured: {tmp_path}/bin/apptainer"
    assert (engine.detail, engine.passed) == (f"apptainer version 1.4.5, {configured}", True)
    with pytest.raises(PlanError, match="local: --platform: unknown platform 'sif'"):
        check_all([host], LocalConnection, platform="sif", system=system)
    host = attrs.evolve(host, settings={"apptainer": {"apptainer": "'/opt/no such' --debug"}})
    (answer,) = check_all([host], LocalConnection, platform="apptainer")
    (engine,) = [check for check in answer.checks if check.name == "engine"]
    assert (engine.detail, engine.passed) == ("/opt/no such was not found", False)
