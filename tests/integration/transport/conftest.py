# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from mlcube_remote.inventory.load import load
from mlcube_remote.inventory.model import LOCAL_HOST, Inventory
from mlcube_remote.transport import connect
from mlcube_remote.transport.base import Connection

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

LOCAL = "local"
FLAVOURS = ("docker", "dash", "fish", "tcsh", "busybox", "noisy", "one-session")
"""Hosts on which everything must be the same: login shells, noise, one session at a time."""


def connect_to(host: SshHost) -> Connection:
    """Log in to a host as its own inventory says."""
    inventory = load(host.inventory)
    return connect(inventory.hosts[host.name], inventory)


@pytest.fixture
def connection_to(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Connection]]:
    """Give connections by flavour, or to this machine; they end with the test."""
    with contextlib.ExitStack() as stack:

        def start(flavour: str) -> Connection:
            if flavour == LOCAL:
                connection = connect(LOCAL_HOST, Inventory(hosts={}, groups={}))
            else:
                # Only now: a test of this machine alone needs no engine.
                ssh_host: HostFactory = request.getfixturevalue("ssh_host")
                connection = connect_to(ssh_host(flavour))
            return stack.enter_context(contextlib.closing(connection))

        yield start


@pytest.fixture(params=[LOCAL, *FLAVOURS])
def connection(
    request: pytest.FixtureRequest, connection_to: Callable[[str], Connection]
) -> Connection:
    """A connection to each kind of host in turn."""
    return connection_to(request.param)


@pytest.fixture(params=FLAVOURS)
def remote(
    request: pytest.FixtureRequest, connection_to: Callable[[str], Connection]
) -> Connection:
    """As ``connection``, without this machine."""
    return connection_to(request.param)
