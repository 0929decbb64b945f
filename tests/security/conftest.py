# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that attack: the same real hosts that the integration tests use."""

from tests.support.hosts import engine, inventory_of, ssh_host
from tests.support.interrupted_runs import gated, scenario

__all__ = ["engine", "gated", "inventory_of", "scenario", "ssh_host"]
