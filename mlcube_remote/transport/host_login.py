# SPDX-License-Identifier: Apache-2.0
"""Log in to a host for Fabric, which needs a transport of Paramiko."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mlcube_remote.errors import AuthenticationError, UnreachableError, UsageError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import Host, Inventory, TransportKind
from mlcube_remote.inventory.sshconfig import resolve
from mlcube_remote.transport import paramiko_import as paramiko_import  # noqa: PLC0414 - first
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.paramiko_link import ParamikoLink, open_paramiko_link
from mlcube_remote.transport.selection import openssh_reason
from mlcube_remote.transport.ssh import SSHConnection


@attrs.frozen(kw_only=True)
class HostLogin:
    """How to log in to one host, with the same rules as for jobs."""

    name: str
    """The name that the caller gave, from which the inventory makes the host."""
    host: Host
    endpoint: Endpoint
    inventory: str | None
    """Path of the file that describes the host.

    ``None``: there is none, or it belongs to a cube, and what it asks for must be checked again.
    """
    credentials: Credentials
    note: Callable[[str], None]
    """Called with lines for the user."""

    @classmethod
    def make(
        cls,
        name: str,
        host: Host,
        inventory: Inventory,
        credentials: Credentials,
        note: Callable[[str], None],
    ) -> HostLogin:
        """Return the login of a host; nothing is connected yet.

        Raises:
            UsageError: The host is this machine.
            InventoryError: Its ssh configuration cannot be read.
        """
        if host.is_local:
            raise UsageError(
                f"{host.name} is this machine; expected a host that is reached over SSH",
                hint="for commands on this machine: fabric.Connection.local, or invoke.run",
            )
        path = None if inventory.cube is not None else inventory.path
        return cls(
            name=name,
            host=host,
            endpoint=resolve(host, inventory),
            inventory=None if path is None else str(path.absolute()),
            credentials=credentials,
            note=note,
        )

    def open(self) -> ParamikoLink:
        """Connect, check the host's key, and log in.

        Raises:
            ConnectError: The connection or the login failed, or only OpenSSH may be used.
        """
        name = self.host.name
        if self.host.transport is TransportKind.OPENSSH:
            raise UnreachableError(
                name,
                "has transport: openssh, and Fabric can only use Paramiko",
                hint="set transport: auto for the host in hosts.yaml",
            )
        try:
            return open_paramiko_link(self.host, self.endpoint, self.credentials, self.note)
        except AuthenticationError as problem:
            reason = openssh_reason(self.endpoint)
            if reason is None:
                raise
            raise AuthenticationError(
                name,
                f"{problem.reason}; only OpenSSH can use this login ({reason}), and Fabric uses "
                "Paramiko",
                hint="give Fabric a plain key: identity_file in hosts.yaml, or IdentityFile in "
                f"~/.ssh/config; mlcube-remote itself can log in: mlcube-remote hosts check {name}",
            ) from problem

    def open_connection(self) -> SSHConnection:
        """Log in once more, for a host that allows few sessions per connection.

        Raises:
            ConnectError: As for :meth:`open`.
        """
        return SSHConnection(self.host, self.open(), None, self.note)
