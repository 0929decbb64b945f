# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that attack: the same real hosts that the integration tests use."""

from tests.support.both_paths import fast_and_slow
from tests.support.hosts import engine, inventory_of, sandbox_folder, ssh_host, sweep
from tests.support.interrupted_runs import gated, scenario

__all__ = [
    "engine",
    "fast_and_slow",
    "gated",
    "inventory_of",
    "sandbox_folder",
    "scenario",
    "ssh_host",
    "sweep",
]
