# SPDX-License-Identifier: Apache-2.0
"""Connections: run a function of the shell library on a host, stream its output, rsync.

:func:`connect` is all that the rooms above need; SSH libraries are imported when it first dials.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection


def connect(
    host: Host,
    inventory: Inventory,
    *,
    password: Secret | None = None,
    passphrase: Secret | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Connection:
    """Open a connection to a host.

    Args:
        host: Where to.
        inventory: Where jump hosts are looked up.
        password: What the user typed, if anything.
        passphrase: For encrypted private keys.
        note: Told what the user should know, in lines.

    Raises:
        ConnectError: No session could be had.
    """
    if host.is_local:
        from mlcube_remote.transport.local import LocalConnection  # noqa: PLC0415 - no SSH needed

        return LocalConnection(host)
    from mlcube_remote.inventory.sshconfig import resolve  # noqa: PLC0415

    with ThreadPoolExecutor(1, thread_name_prefix="mlcr-resolve") as aside:
        resolving = aside.submit(resolve, host, inventory)
        # Paramiko takes long to import; --help and --dry-run never need it, ssh -G runs meanwhile.
        from mlcube_remote.transport import paramiko_import  # noqa: F401, PLC0415 - first of all
        from mlcube_remote.transport.auth import Credentials  # noqa: PLC0415
        from mlcube_remote.transport.ssh import SSHConnection  # noqa: PLC0415

        endpoint = resolving.result()
    credentials = Credentials(password=password, passphrase=passphrase)
    return SSHConnection.open(host, endpoint, credentials, note)
