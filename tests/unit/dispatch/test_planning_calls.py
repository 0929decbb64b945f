# SPDX-License-Identifier: Apache-2.0
"""A job is planned before the probe, after it, and once more if GPUs were leased; never more."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlcube_remote.commands import build
from mlcube_remote.commands.model import Options
from mlcube_remote.cube.load import load
from mlcube_remote.dispatch.pipeline import run_job
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import HostUnfitError
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan import placed_job
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.fake import FakeConnection

CUBE = """
docker: {image: example/x}
tasks:
  train:
    parameters:
      inputs: {config: {type: file, default: conf.yaml}}
      outputs: {model: {type: directory, default: model}}
"""


def host_with_a_full_disk(_host: Host, _note: Callable[[str], None]) -> Connection:
    """Return a connection to a host on which everything works until the launch."""
    connection = FakeConnection("h")
    facts = {
        "home": "/h",
        "root": "/r",
        "user": "ada",
        "uid": "1",
        "machine": "x86_64",
        "root_id": "1",
        "rsync": "3.2.7",
        "now": str(int(time.time())),
    }
    records = "".join(f"{key}={value}\0" for key, value in facts.items()).encode()
    transferred = b"Number of regular files transferred: 1\nTotal transferred file size: 1 B\n"
    connection.answer("mlcr_probe_host", Reply(0, records, b""))
    connection.answer("mlcr_claim_job", Reply(0, b"", b""))
    connection.answer("mlcr_lease_gpus", Reply(0, b"gpu=0 GPU-a\0", b""))
    connection.answer("mlcr_print_client_version", Reply(0, b"Docker version 27.1\n", b""))
    connection.answer("mlcr_print_image_platform", Reply(0, b"linux/amd64\n", b""))
    connection.answer("rsync", Reply(0, transferred, b""))
    connection.answer("mlcr_launch_job", Reply(1, b"", b"No space left\n"))
    connection.answer("mlcr_release_job", Reply(0, b"", b""))
    return connection


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the calls of the two expensive steps of planning."""
    counted: Counter[str] = Counter()

    def count(module: object, function: str) -> None:
        original: Callable[..., Any] = getattr(module, function)

        def wrapper(*args: Any, **options: Any) -> Any:
            counted[function] += 1
            return original(*args, **options)

        monkeypatch.setattr(module, function, wrapper)

    count(placed_job, "place_parameters")
    count(build, "merge")
    return counted


@pytest.mark.parametrize(("gpus", "plans"), [(None, 2), ("1", 3)])
def test_a_job_is_planned_two_or_three_times(
    tmp_path: Path, calls: Counter[str], gpus: str | None, plans: int
) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/conf.yaml").touch()
    (tmp_path / "mlcube.yaml").write_text(CUBE)
    (job,) = plan_jobs(
        RunRequest(
            cube=load(tmp_path),
            hosts=(Host(name="h", remote_root="/r"),),
            tasks=("train",),
            run_id="run",
            options=Options(gpus=gpus),
        )
    )
    calls.clear()
    outcome = run_job(job, RunContext(connect=host_with_a_full_disk, sink=lambda _: None))
    assert isinstance(outcome.error, HostUnfitError), "it came to its launch"
    assert calls == {"place_parameters": plans, "merge": plans}
