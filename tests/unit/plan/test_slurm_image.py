# SPDX-License-Identifier: Apache-2.0
"""What runs on a compute node for a short time finds the programs that the tasks find."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from mlcube_remote.inventory.model import Host, Launcher
from mlcube_remote.inventory.slurm import check
from mlcube_remote.plan.slurm_image import image_builder, trial_words

JOB = ("srun", "--job-name=mlcr-check", "--nodes=1", "--ntasks=1", "--input=none")


def cluster(**slurm: Any) -> Host:
    return Host(name="login", launcher=Launcher.SLURM, slurm=check(slurm))


def test_a_trial_is_a_job_of_a_minute() -> None:
    host = cluster(partition="gpu", account="a", gres="gpu:2", time="1:00:00")
    assert trial_words(host) == (*JOB, "--partition=gpu", "--account=a", "--time=1")


def test_a_trial_runs_after_the_setup_of_the_tasks() -> None:
    words = trial_words(cluster(setup="export WHERE='/a b'; true\n"))
    start = words.index("/bin/bash")
    argv = [*words[start:], "sh", "-c", 'echo "$WHERE|$1"', "sh", "x y"]
    assert subprocess.check_output(argv, text=True).endswith("/a b|x y\n")


@pytest.mark.parametrize("slurm", [{}, {"setup": " \n"}])
def test_without_setup_a_trial_needs_no_other_shell(slurm: dict[str, str]) -> None:
    assert "/bin/bash" not in trial_words(cluster(**slurm))


def test_an_image_is_built_with_the_modules_and_without_the_setup_of_tasks() -> None:
    words = image_builder(cluster(modules=["apptainer"], setup="exit 1"), "apptainer")
    assert words[:3] == ("/bin/bash", "-l", "-c")
    assert words[3] == 'module load apptainer || exit 1\nexec "$@"'
