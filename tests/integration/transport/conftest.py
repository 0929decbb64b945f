# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import attrs
import pytest

from mlcube_remote.inventory.load import load
from mlcube_remote.inventory.model import LOCAL_HOST, Inventory, TransportKind
from mlcube_remote.transport import connect
from mlcube_remote.transport.base import Connection

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

LOCAL = "local"
FLAVOURS = ("docker", "dash", "fish", "tcsh", "busybox", "noisy", "one-session")
"""Hosts that must all behave in the same way: login shells, noise, one session at a time."""


TRANSPORTS = (TransportKind.PARAMIKO, TransportKind.OPENSSH)


def connect_to(host: SshHost, transport: TransportKind = TransportKind.AUTO) -> Connection:
    """Log in to a host with the settings of its inventory."""
    inventory = load(host.inventory)
    return connect(attrs.evolve(inventory.hosts[host.name], transport=transport), inventory)


@pytest.fixture
def connection_to(
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., Connection]]:
    """Return a function that connects to a flavour or to this machine, until the test ends."""
    with contextlib.ExitStack() as stack:

        def start(flavour: str, transport: TransportKind = TransportKind.AUTO) -> Connection:
            if flavour == LOCAL:
                connection = connect(LOCAL_HOST, Inventory(hosts={}, groups={}))
            else:
                # Not before: tests of this machine alone need no engine.
                ssh_host: HostFactory = request.getfixturevalue("ssh_host")
                connection = connect_to(ssh_host(flavour), transport)
            return stack.enter_context(contextlib.closing(connection))

        yield start


REMOTE = tuple(
    pytest.param((flavour, transport), id=f"{flavour}-{transport.value}")
    for flavour in FLAVOURS
    for transport in TRANSPORTS
)


@pytest.fixture(params=[pytest.param((LOCAL, TransportKind.AUTO), id=LOCAL), *REMOTE])
def connection(
    request: pytest.FixtureRequest,
    connection_to: Callable[..., Connection],
) -> Connection:
    """Return a connection to each kind of host in turn, with each transport."""
    return connection_to(*request.param)


@pytest.fixture(params=REMOTE)
def remote(
    request: pytest.FixtureRequest,
    connection_to: Callable[..., Connection],
) -> Connection:
    """Return the same without this machine."""
    return connection_to(*request.param)
