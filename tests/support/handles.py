# SPDX-License-Identifier: Apache-2.0
"""A job handle with all fields set."""

from __future__ import annotations

from pathlib import Path

from mlcube_remote.jobs.handle import (
    JobHandle,
    TaskHandle,
)
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest

TICKET = JobHandle(
    run_id="261123-190233-k3j5h2g7x4q6w2ez",
    job_id="261123-190233-k3j5h2g7x4q6w2ez-gpu-0123456789ab",
    host="gpu",
    platform="docker",
    cube="mnist",
    client="ada@laptop",
    root="/home/ada/.mlcube-remote",
    tasks=(TaskHandle(task="train", engine=("sudo", "docker"), container="mlcr-1-x-1"),),
    folders=(
        DownloadFolder(
            remote="/home/ada/.mlcube-remote/cubes/mnist/workspace",
            target=Path("/here/results"),
            basis=Path("/here/workspace"),
            outputs=(
                DownloadRequest(task="train", name="model", path="model/a b", directory=True),
            ),
        ),
        DownloadFolder(
            remote="/data",
            target=Path("/here/other"),
            basis=None,
            outputs=(DownloadRequest(task="train", name="log", path="log", directory=None),),
        ),
    ),
    in_place=(DownloadRequest(task="train", name="x", path="/abs/x", directory=None),),
    timeout=90,
    job="07",
    parameters={"lr": "0.1"},
)
