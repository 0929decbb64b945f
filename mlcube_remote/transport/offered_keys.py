# SPDX-License-Identifier: Apache-2.0
"""The key that a server offers, for the user to compare before the first login."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.inventory.sshconfig import resolve
from mlcube_remote.transport import paramiko_import  # noqa: F401 - before Paramiko
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.host_keys import fingerprint
from mlcube_remote.transport.ssh_transport import ConnectRequest, read_host_key


@attrs.frozen(kw_only=True)
class OfferedKey:
    """The key of one server."""

    server: str
    """The server's name in known_hosts: ``host``, or ``[host]:port``."""
    kind: str
    """Such as ``ssh-ed25519``."""
    fingerprint: str
    """As ssh-keygen prints it: ``SHA256:…``."""
    is_known: bool
    """Whether it is in known_hosts already."""
    _trust: Callable[[], None]

    def trust(self) -> None:
        """Add exactly this key to known_hosts.

        Raises:
            HostKeyError: It cannot be written.
        """
        self._trust()


def offered_key(
    host: Host, inventory: Inventory, credentials: Credentials, note: Callable[[str], None]
) -> OfferedKey:
    """Ask a server for its key, and do not log in to it.

    Args:
        host: The host.
        inventory: The inventory, for jump hosts.
        credentials: For the logins to jump hosts.
        note: Called with lines for the user.

    Raises:
        HostKeyError: The key differs from the known one, or is revoked.
        ConnectError: The server cannot be reached.
    """
    endpoint = resolve(host, inventory)
    request = ConnectRequest(host=host.name, credentials=credentials, note=note)
    check, key = read_host_key(endpoint, request)
    return OfferedKey(
        server=check.name,
        kind=key.get_name(),
        fingerprint=fingerprint(key.asbytes()),
        is_known=check.knows(key),
        trust=lambda: check.trust(key),
    )
