# SPDX-License-Identifier: Apache-2.0
"""Tests that run twice: as users run, and with each step waiting for the one before.

Where a host does not bring the results with a task's end, or something has changed, a run takes
the second path; so what is promised must hold on both.
"""

from __future__ import annotations

import pytest

from mlcube_remote.dispatch.run_context import FAST_VARIABLE


@pytest.fixture(params=["1", "0"], ids=["fast", "step-by-step"])
def fast_and_slow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test on both paths."""
    monkeypatch.setenv(FAST_VARIABLE, request.param)


on_both_paths = pytest.mark.usefixtures("fast_and_slow")
"""For faults and attacks that meet a run between its end and its outputs here."""
