# SPDX-License-Identifier: Apache-2.0
"""Cubes that tests write: tasks of one shell script."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mlcube_remote.sandbox.engine import BASE_IMAGE

FILE = {"type": "file"}

QUICKLY = "-Psingularity.build_args=--fakeroot --mksquashfs-args='-noD -noI -noF'"
"""Option of ``run``: build SIF images without root, and without compression, which takes the most
time of a build."""


def shell_task(script: str, **parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task that runs a shell script; its parameters are ``$0 $@``, in order."""
    escaped = script.replace("${", r"\${")  # or OmegaConf would interpolate it
    return {"entrypoint": f"/bin/sh -c '{escaped}'", "parameters": dict(parameters)}


def write_cube(root: Path, tasks: Mapping[str, Any], **sections: Any) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    described = {"name": "probe", "docker": {"image": BASE_IMAGE}, "tasks": dict(tasks)}
    (root / "mlcube.yaml").write_text(yaml.safe_dump({**described, **sections}))
    (root / "workspace").mkdir(exist_ok=True)
    return root


def write_sif_cube(root: Path, tasks: Mapping[str, Any]) -> Path:
    """Write a cube whose image Singularity or Apptainer builds from that of the sandbox."""
    cube = write_cube(root, tasks, singularity={"build_file": "probe.def"})
    (cube / "probe.def").write_text(f"Bootstrap: docker\nFrom: {BASE_IMAGE}\n")
    return cube
