# SPDX-License-Identifier: Apache-2.0
"""Faults happen to the same real hosts that the integration tests use."""

from tests.integration.conftest import engine, inventory_of, ssh_host

__all__ = ["engine", "inventory_of", "ssh_host"]
