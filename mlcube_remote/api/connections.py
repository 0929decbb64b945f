# SPDX-License-Identifier: Apache-2.0
"""Use a Fabric connection of the caller instead of a login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from mlcube_remote import app
from mlcube_remote.api.arguments import Access
from mlcube_remote.app.options import HostOptions
from mlcube_remote.errors import InventoryError, UsageError

if TYPE_CHECKING:
    from mlcube_remote.dispatch.connections import Connect
    from mlcube_remote.transport.borrowed import CallersConnection

_SSH_PORT = 22


def choose_connection(connection: CallersConnection, where: Access) -> tuple[Access, Connect]:
    """Return the host of a connection, and what makes connections of ours on it.

    Raises:
        UsageError: Hosts are named too, or the connection is not open, or it is no connection.
    """
    if where.hosts.names or where.hosts.where:
        raise UsageError("hosts and connection cannot be combined", hint="omit one of them")
    missing = [
        name
        for name in ("original_host", "user", "port", "is_connected", "transport")
        if not hasattr(connection, name)
    ]
    if missing:
        raise UsageError(
            f"connection: expected a fabric.Connection, got {type(connection).__name__}",
            hint="open one: mlcube_remote.fabric.Connection('gpu01')",
        )
    # These modules import Paramiko, which Fabric has done before.
    from mlcube_remote.transport.borrowed import BorrowedConnections  # noqa: PLC0415
    from mlcube_remote.transport.host_login import HostLogin  # noqa: PLC0415

    login = getattr(connection, "login", None)
    if isinstance(login, HostLogin):
        name = login.name
        hosts = attrs.evolve(
            where.hosts, names=(name,), inventory=where.hosts.inventory or login.inventory
        )
        borrowed = BorrowedConnections(connection=connection, open_second=login.open_connection)
    else:
        hosts = attrs.evolve(where.hosts, names=(_name_of(connection, where.hosts),))
        borrowed = BorrowedConnections(connection=connection, open_second=None)
    return attrs.evolve(where, hosts=hosts), borrowed.connect


def _name_of(connection: Any, options: HostOptions) -> str:
    """Return the name of the host of a connection that Fabric itself has opened.

    Raises:
        UsageError: It is not open.
    """
    host = connection.original_host
    if not connection.is_connected:
        raise UsageError(
            f"connection: {host} is not connected",
            hint="call its open() before; mlcube_remote.fabric.Connection is opened when necessary",
        )
    account = (connection.user, connection.port)
    try:
        found = app.inventory.resolve_hosts(attrs.evolve(options, names=(host,)))
    except InventoryError:
        # Fabric knows the host in another way.
        found = []
    if [(known.user, known.port) for _, known in found if known is not None] == [account]:
        return str(host)
    shown = f"[{host}]" if ":" in host else host
    port = "" if connection.port == _SSH_PORT else f":{connection.port}"
    return f"{connection.user}@{shown}{port}"
