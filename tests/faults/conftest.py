# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the fault tests: the same real hosts that the integration tests use."""

from tests.support.both_paths import fast_and_slow
from tests.support.hosts import engine, inventory_of, ssh_host
from tests.support.interrupted_runs import gated, scenario
from tests.support.small_cube import cube

__all__ = ["cube", "engine", "fast_and_slow", "gated", "inventory_of", "scenario", "ssh_host"]
