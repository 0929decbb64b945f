# SPDX-License-Identifier: Apache-2.0
"""Outputs as tasks really leave them: with links, pipes and sockets among the files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import on
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

CHECKPOINTS = shell_task(
    'o=${0#*=}; mkdir "$o/ckpt"; echo weights >"$o/ckpt/step100.pt"; '
    'ln -s "$o/ckpt/step100.pt" "$o/latest.pt"; ln -s step100.pt "$o/ckpt/best.pt"; '
    'ln -s /usr/share/zoneinfo/UTC "$o/localtime"; ln -s "${1#*=}/log" "$o/log"; '
    'mkfifo "$o/pipe"; echo text >"${1#*=}/log"',
    outputs={"checkpoints": {"default": "model/"}, "logs": {"default": "logs/"}},
)
"""Its links lead to the container's own path, to another output, and to a file of the image."""


@pytest.mark.parametrize("flavour", ["docker", "apptainer"])
def test_odd_entries_are_omitted_and_links_to_the_containers_paths_work(
    ssh_host: HostFactory, tmp_path: Path, flavour: str
) -> None:
    cube = write_cube(tmp_path / "cube", {"train": CHECKPOINTS})
    done = on(ssh_host(flavour), cube, "--task=train", f"--platform={flavour}", "--output=json")
    assert done.returncode == 0, done.stderr.decode()
    model = cube / "workspace/model"
    assert os.readlink(model / "latest.pt") == "ckpt/step100.pt"
    assert (model / "latest.pt").read_text() == (model / "ckpt/best.pt").read_text() == "weights\n"
    assert (cube / "workspace/logs/log").read_text() == "text\n"
    assert {path.name for path in model.iterdir()} == {"ckpt", "latest.pt"}
    (job,) = json.loads(done.stdout)["jobs"]
    omitted = {output["name"]: output["omitted"] for output in job["outputs"]}
    assert omitted["logs"] == []
    assert {text.split("'")[1] for text in omitted["checkpoints"]} == {
        "model/localtime",
        "model/log",
        "model/pipe",
    }
    assert done.stderr.count(b"not pulled: ") == 1
