# SPDX-License-Identifier: Apache-2.0
"""Examples run on every platform, each on a real engine, and leave the same bytes everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import yaml

from tests.support.tracked import copy_tracked

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

EXAMPLES = Path(__file__).parents[2] / "examples"


@attrs.frozen
class Finished:
    """One run of an example on several hosts."""

    document: dict[str, Any]
    outputs: dict[str, dict[str, bytes]]
    """What was pulled: by host, then by path."""

    def json(self, name: str) -> Any:
        """Return the JSON file *name*, which is the same from all hosts."""
        (content,) = {files[name] for files in self.outputs.values()}
        return json.loads(content)


class Runner:
    """Runs an example once on all the hosts of an inventory."""

    def __init__(self, inventory: Path, folder: Path) -> None:
        self._inventory = inventory
        self._folder = folder

    def __call__(self, name: str, tasks: str, **settings: dict[str, Any]) -> Finished:
        """Run *tasks* of the example, with *settings* in YAML files of its workspace changed."""
        cube = self._folder / name
        copy_tracked(EXAMPLES / name, cube)
        for stem, changed in settings.items():
            path = cube / "workspace" / f"{stem}.yaml"
            path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changed))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "mlcube_remote", "run", "--output=json", "--host=all"),
                *(f"--inventory={self._inventory}", f"--mlcube={cube}", f"--task={tasks}"),
                # Of this recipe, not of an older one that the machine's engine may remember.
                *(f"-Pdocker.image=mlcube-remote-test/{name}:latest",),
                "-Pdocker.build_strategy=always",
            ],
            capture_output=True,
            check=False,
            timeout=300,
            env=os.environ,
        )
        assert done.returncode == 0, done.stderr.decode()[-4000:]
        (results,) = (cube / "results").iterdir()
        outputs = {
            host.name: {
                str(path.relative_to(host)): path.read_bytes()
                for path in sorted(host.rglob("*"))
                if path.is_file()
            }
            for host in results.iterdir()
            if host.is_dir() and host.name != "attempts"  # records are beside them
        }
        return Finished(json.loads(done.stdout), outputs)


@pytest.fixture
def run_on(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> Callable[..., Runner]:
    """Return a function that gives a runner for hosts with these engines."""

    def runner(*engines: str) -> Runner:
        return Runner(inventory_of(*map(ssh_host, engines)), tmp_path)

    return runner


RunOn = Callable[..., Runner]


def same_everywhere(finished: Finished, hosts: int) -> None:
    assert len(finished.outputs) == hosts
    first, *others = finished.outputs.values()
    assert first
    assert all(other == first for other in others)


def test_one_run_on_three_engines_leaves_the_same_bytes(run_on: RunOn) -> None:
    run = run_on("docker", "podman", "apptainer")
    chat = run("hello_world", "hello,bye")
    same_everywhere(chat, hosts=3)
    platforms = {job["platform"] for job in chat.document["jobs"]}
    assert platforms == {"docker", "podman", "apptainer"}

    learned = run("mnist", "download,train", data={"source": "digits"})
    same_everywhere(learned, hosts=3)
    files = {"data/mnist.npz", "model/model.npz", "metrics/train.json"}
    assert all(set(outputs) == files for outputs in learned.outputs.values())
    assert learned.json("metrics/train.json")["test_accuracy"] > 0.95


def test_emdenoise_denoises_alike_on_docker_and_apptainer(run_on: RunOn) -> None:
    finished = run_on("docker", "apptainer")(
        "emdenoise",
        "download,train,test",
        data={"source": "generated", "images": {"train": 32, "test": 4}},
        train={"steps": 40},
    )
    same_everywhere(finished, hosts=2)
    scores = finished.json("metrics/test.json")
    assert scores["psnr_noisy"] < scores["psnr_mean_filter"] < scores["psnr_denoised"]


def test_vision_selection_scores_alike_on_docker_and_apptainer(run_on: RunOn) -> None:
    finished = run_on("docker", "apptainer")("vision_selection", "select,evaluate")
    same_everywhere(finished, hosts=2)
    assert finished.json("scores/scores.json")["mean_f1"] > 0.5
