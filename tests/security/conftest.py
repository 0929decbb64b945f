# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that attack: real SSH hosts."""

from tests.support.hosts import engine, inventory_of, sandbox_folder, ssh_host, sweep

__all__ = ["engine", "inventory_of", "sandbox_folder", "ssh_host", "sweep"]
