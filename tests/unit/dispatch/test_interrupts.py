# SPDX-License-Identifier: Apache-2.0
"""The handlers of a job are called once for each end of the run."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from mlcube_remote.dispatch.interrupts import Interrupts
from tests.support.waiting import wait_for


@pytest.mark.parametrize(
    ("end", "name"),
    [
        (lambda run: run.stop(), "stop"),
        (lambda run: run.detach(), "detach"),
        (lambda run: run.cancel("gpu02 had failed"), "stop"),
    ],
    ids=["stop", "detach", "cancel"],
)
@pytest.mark.parametrize("is_early", [False, True])
def test_a_job_is_told_once(end: Callable[[Interrupts], None], name: str, is_early: bool) -> None:
    run, told = Interrupts(), list[str]()
    if is_early:
        end(run)
    with run.handled_by(
        "a", stop=lambda: told.append("stop"), detach=lambda: told.append("detach")
    ):
        end(run)
        end(run)
        wait_for(lambda: bool(told))
        time.sleep(0.2)
    assert told == [name]
