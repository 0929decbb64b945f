# SPDX-License-Identifier: Apache-2.0
"""A platform of ``~/mlcube.yaml`` means to us what it means to ``mlcube``: the same command runs.

The reference's own runners are driven; in the place of engines stand programs that write down how
they were called.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import reference

DRY_RUN = ("--host=local", "--dry-run", "--output=json")

ENGINE = """#!/bin/sh
{ printf '%s\\0' "${0##*/}" "$@"; printf '\\n'; } >>"$CALLS"
case $1 in --version) echo "singularity version 3.8.0" ;; esac
"""

PARAMETERS = {"inputs": {"data": "data/"}, "outputs": {"out": {"type": "file", "default": "o.txt"}}}
CUBE: dict[str, Any] = {
    "name": "c",
    "docker": {"image": "example/c:1"},
    "singularity": {"image": "c.sif"},
    "tasks": {"go": {"parameters": PARAMETERS}},
}

CASES: dict[str, dict[str, Any]] = {
    "nothing said": {},
    "what mlcube writes": {
        "platforms": {"docker": {"runner": "docker", "docker": "docker", "build_context": "."}}
    },
    "in force by its name": {
        "platforms": {"docker": {"runner": "docker", "docker": "sudo docker", "cpu_args": "--init"}}
    },
    "a name of one's own": {
        "platform": "big",
        "platforms": {"big": {"runner": "docker", "--memory": "64g", "--cpuset-cpus": "0-63"}},
    },
    "the cube wins": {
        "platforms": {"docker": {"runner": "docker", "cpu_args": "--init", "--memory": "1g"}},
        "docker": {"cpu_args": "--rm", "--memory": "2g"},
    },
    "variables merge": {
        "platforms": {"docker": {"runner": "docker", "env_args": {"A": "user", "B": "user"}}},
        "docker": {"env_args": {"B": "cube", "C": "cube"}},
        "arguments": ["-Pdocker.env_args.C=typed"],
    },
    "-P wins": {
        "platform": "big",
        "platforms": {"big": {"runner": "docker", "--memory": "64g"}},
        "docker": {"--memory": "2g"},
        "arguments": ["-Pdocker.--memory=3g", "-Prunner.--cpuset-cpus=1"],
    },
    "the environment": {
        "platforms": {"docker": {"runner": "docker", "env_args": {"WHO": "${oc.env:WHO}"}}}
    },
    "podman": {
        "platform": "rootless",
        "platforms": {"rootless": {"runner": "docker", "docker": "podman"}},
    },
    "singularity": {
        "platform": "sifs",
        "platforms": {
            "sifs": {"runner": "singularity", "image_dir": "${runtime.root}/sifs", "run_args": "-C"}
        },
    },
    "singularity by its name": {
        "platform": "singularity",
        "arguments": ["-Psingularity.run_args=--cleanenv"],
    },
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("docker", "podman", "sudo", "singularity"):
        (programs / name).write_text(ENGINE)
        (programs / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "WHO": "me",
        "MLCUBE_SYSTEM_SETTINGS": str(tmp_path / "settings.yaml"),
    }


def output(command: list[str], environment: dict[str, str], python_path: str) -> str:
    done = subprocess.run(
        command,
        env={**environment, "PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("what", CASES)
def test_a_platform_means_what_it_means_to_mlcube(
    what: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    case = CASES[what]
    root = tmp_path / "cube"
    (root / "workspace/data").mkdir(parents=True)
    (root / "Singularity.recipe").touch()
    cube = {**CUBE, "docker": {**CUBE["docker"], **case.get("docker", {})}}
    (root / "mlcube.yaml").write_text(yaml.safe_dump(cube, sort_keys=False))
    if "platforms" in case:
        written = yaml.safe_dump({"platforms": case["platforms"]}, sort_keys=False)
        (tmp_path / "settings.yaml").write_text(written)
    arguments = [
        *("run", f"--mlcube={root}", f"--platform={case.get('platform', 'docker')}", "--task=go"),
        *case.get("arguments", ()),
    ]
    # Ours first: it must do without what mlcube writes into the file.
    ours = output(
        [sys.executable, "-m", "mlcube_remote", *arguments, *DRY_RUN],
        environment,
        str(reference.ROOT),
    )
    mlcube = str(reference.program())
    output([mlcube, *arguments], environment, reference.python_path(runners=True))
    *_, theirs = (tmp_path / "calls").read_text().splitlines()
    (job,) = json.loads(ours)["jobs"]
    assert job["run"][-1] == theirs.split("\0")[:-1]
