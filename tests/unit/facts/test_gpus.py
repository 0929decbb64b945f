# SPDX-License-Identifier: Apache-2.0
"""GPUs of hosts: shown where they are, and missed where a task wants them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlcube_remote.commands.model import TaskCommands
from mlcube_remote.errors import HostUnfitError
from mlcube_remote.facts import gpus
from mlcube_remote.facts.check import check_all
from mlcube_remote.inventory.model import ConnectionKind, Host
from mlcube_remote.transport.local import LocalConnection

TWO = "NVIDIA A100-SXM4-40GB, 40960 MiB\n"
BROKEN = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\nMore.\n"

REPORTS = {
    "one": (TWO, 0, "1 x NVIDIA A100-SXM4-40GB, 40960 MiB"),
    "several": (TWO * 2 + "Tesla T4, 15360 MiB\n", 0, "2 x NVIDIA A100-SXM4-40GB, 40960 MiB; 1 x "),
    "none": ("No devices were found\n", 6, "none: No devices were found"),
    "broken": (BROKEN, 9, "none: NVIDIA-SMI has failed because it couldn't"),
    "silent": ("", 9, "none: nvidia-smi failed (status 9)"),
    "absent": ("", None, "none: nvidia-smi was not found"),
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(name="local", connection=ConnectionKind.LOCAL, remote_root=str(tmp_path / "root"))


def install(folder: Path, said: str, status: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program into PATH that says what nvidia-smi would; no status: none at all."""
    folder.mkdir()
    paths = [path for path in os.environ["PATH"].split(":") if not _has_nvidia_smi(path)]
    monkeypatch.setenv("PATH", ":".join([str(folder), *paths]))
    if status is None:
        return
    (folder / "said").write_text(said)
    program = folder / "nvidia-smi"
    program.write_text(
        f'#!/bin/sh\n[ "$2" = --format=csv,noheader ] || exit 3\ncat {folder}/said\nexit {status}\n'
    )
    program.chmod(0o755)


def _has_nvidia_smi(path: str) -> bool:
    return Path(path, "nvidia-smi").exists()


@pytest.mark.parametrize("what", REPORTS)
def test_a_check_shows_the_gpus_of_a_host(
    what: str, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, status, shown = REPORTS[what]
    install(tmp_path / "bin", said, status, monkeypatch)
    (answer,) = check_all([host], LocalConnection)
    names = [check.name for check in answer.checks]
    assert names == ["programs", "directory", "rsync", "engine", "gpu", "disk"], "no user logged in"
    (gpu,) = [check for check in answer.checks if check.name == "gpu"]
    assert gpu.detail.startswith(shown)
    assert gpu.passed, "tasks without one can run there"


def commands(*before: str, after: tuple[str, ...] = ()) -> TaskCommands:
    argv = ("apptainer", "run", *before, "/x.sif", "train", *after)
    return TaskCommands(
        platform="apptainer",
        image="/x.sif",
        engine=("apptainer",),
        probe=(),
        cwd="/",
        configure=(),
        run=(argv,),
        launch_at=2,
        directories=(),
        creates=(),
    )


def test_gpus_that_are_not_there_are_reported(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "bin", "", None, monkeypatch)
    connection = LocalConnection(host)
    warning = gpus.missing_gpu_warning(connection, [commands(), commands("--nv")])
    with pytest.raises(
        HostUnfitError, match="local: apptainer cannot apply --gpus=2: the host has n"
    ):
        gpus.missing_gpu_warning(connection, [commands("--nv")], "2")
    connection.close()
    assert warning == (
        "the cube's apptainer settings ask for GPUs (--nv), and the host has none: "
        "nvidia-smi was not found; the task runs without them"
    )


def test_gpus_that_exist_or_are_not_requested_are_not_reported(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "bin", TWO, 0, monkeypatch)
    connection = LocalConnection(host)
    assert gpus.missing_gpu_warning(connection, [commands("--nv")]) is None
    (tmp_path / "bin/nvidia-smi").unlink()
    assert gpus.missing_gpu_warning(connection, [commands(after=("--nv",))]) is None
    connection.close()
