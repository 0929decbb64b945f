# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from mlcube_remote.runs.store import Store
from tests.support.fake_host import FakeHost
from tests.support.fake_runs import CUBE, SCRIPTS, Client, MakeClient, client, plan_job, write_cube


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """Return a host on which all tasks succeed; pauses of the client are short."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.001)))
    # Pauses between attempts are multiplied with this.
    monkeypatch.setattr(random, "uniform", lambda _low, high: min(high, 0.001))
    return FakeHost(scripts=dict(SCRIPTS))


@pytest.fixture
def make_client(host: FakeHost, tmp_path: Path) -> MakeClient:
    """Make a client with a job of the cube on the host."""

    def make(
        *tasks: str,
        run: dict[str, Any] | None = None,
        dockerfile: bool = False,
        cube: str = CUBE,
        **job: Any,
    ) -> Client:
        root = write_cube(tmp_path, dockerfile=dockerfile, text=cube)
        planned = plan_job(root, *tasks, **job)
        return client(planned, host, Store(tmp_path / "runs"), run)

    return make
