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
"""Hosts that must all behave in the same way: login shells, noise, one session at a time."""


def connect_to(host: SshHost) -> Connection:
    """Log in to a host with the settings of its inventory."""
    inventory = load(host.inventory)
    return connect(inventory.hosts[host.name], inventory)


@pytest.fixture
def connection_to(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Connection]]:
    """Return a function that connects to a flavour or to this machine, until the test ends."""
    with contextlib.ExitStack() as stack:

        def start(flavour: str) -> Connection:
            if flavour == LOCAL:
                connection = connect(LOCAL_HOST, Inventory(hosts={}, groups={}))
            else:
                # Not before: tests of this machine alone need no engine.
                ssh_host: HostFactory = request.getfixturevalue("ssh_host")
                connection = connect_to(ssh_host(flavour))
            return stack.enter_context(contextlib.closing(connection))

        yield start


@pytest.fixture(params=[LOCAL, *FLAVOURS])
def connection(
    request: pytest.FixtureRequest, connection_to: Callable[[str], Connection]
) -> Connection:
    """Return a connection to each kind of host in turn."""
    return connection_to(request.param)


@pytest.fixture(params=FLAVOURS)
def remote(
    request: pytest.FixtureRequest, connection_to: Callable[[str], Connection]
) -> Connection:
    """Return the same without this machine."""
    return connection_to(request.param)
