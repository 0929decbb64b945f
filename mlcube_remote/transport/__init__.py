# SPDX-License-Identifier: Apache-2.0
"""Connections to hosts: call functions of the shell library, stream output, run rsync.

Other packages use :func:`connect`. It imports the SSH libraries when it is called first, unless
:func:`import_libraries` has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING

from mlcube_remote.inventory.model import Host, Inventory, TransportKind
from mlcube_remote.inventory.typed_hints import hints_as_typed
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection
from mlcube_remote.transport.questions import Answers

if TYPE_CHECKING:
    from mlcube_remote.transport.credentials import Credentials


def connect(
    host: Host,
    inventory: Inventory,
    *,
    password: Secret | None = None,
    passphrase: Secret | None = None,
    answers: Answers | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Connection:
    """Connect to a host and log in.

    Args:
        host: The host.
        inventory: The inventory, for jump hosts.
        password: The password that the user typed, if any.
        passphrase: For encrypted private keys.
        answers: Asks the user, and has earlier answers; ``None``: the user is not asked.
        note: Called with lines for the user.

    Raises:
        ConnectError: The connection or the login failed.
    """
    if host.is_local:
        from mlcube_remote.transport.local import LocalConnection  # noqa: PLC0415 - no SSH needed

        return LocalConnection(host)
    from mlcube_remote.transport.credentials import Credentials  # noqa: PLC0415

    credentials = Credentials(
        password=password, passphrase=passphrase, answers=answers or Answers()
    )
    with hints_as_typed(host):
        return _connect(host, inventory, credentials, note)


def _connect(
    host: Host, inventory: Inventory, credentials: Credentials, note: Callable[[str], None]
) -> Connection:
    from mlcube_remote.inventory.sshconfig import resolve  # noqa: PLC0415

    if host.transport is TransportKind.OPENSSH:
        from mlcube_remote.transport.openssh_link import open_openssh_link  # noqa: PLC0415
        from mlcube_remote.transport.ssh import SSHConnection  # noqa: PLC0415

        endpoint = resolve(host, inventory)
        return SSHConnection.open(
            host, lambda: open_openssh_link(host, endpoint, credentials, note), note
        )
    with ThreadPoolExecutor(1, thread_name_prefix="mlcr-resolve") as background:
        resolving = background.submit(resolve, host, inventory)
        # Importing Paramiko takes long: only if necessary, and while ssh -G runs.
        import_libraries((host,))
        endpoint = resolving.result()
    from mlcube_remote.transport.selection import connect_over_ssh  # noqa: PLC0415

    return connect_over_ssh(host, endpoint, credentials, note)


def import_libraries(hosts: Iterable[Host]) -> None:
    """Import the SSH libraries if connections to the hosts need them, which takes long."""
    if any(not host.is_local and host.transport is not TransportKind.OPENSSH for host in hosts):
        # Paramiko without its unused parts comes first.
        for name in ("paramiko_import", "selection"):
            import_module(f"{__name__}.{name}")
