# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the security tests: the same real hosts that the integration tests use."""

from tests.support.hosts import engine, inventory_of, ssh_host

__all__ = ["engine", "inventory_of", "ssh_host"]
