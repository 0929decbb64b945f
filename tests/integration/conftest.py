# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests: real SSH hosts."""

from tests.support.example_runs import copy_cube
from tests.support.hosts import engine, inventory_of, sandbox_folder, ssh_host, sweep
from tests.support.sweeps import pool

__all__ = ["copy_cube", "engine", "inventory_of", "pool", "sandbox_folder", "ssh_host", "sweep"]
