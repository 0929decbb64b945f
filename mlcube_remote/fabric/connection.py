# SPDX-License-Identifier: Apache-2.0
"""A Fabric connection that logs in as mlcube-remote does."""

from __future__ import annotations

import os
import threading

import fabric

from mlcube_remote import app
from mlcube_remote.cli.printing import print_warning
from mlcube_remote.inventory.select import machine_name
from mlcube_remote.secret import Secret
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.host_login import HostLogin
from mlcube_remote.transport.paramiko_link import ParamikoLink


class Connection(fabric.Connection):
    """A ``fabric.Connection`` to a host of the inventory or of ssh_config.

    ``open`` checks the host's key against known_hosts, goes through the jump hosts, and limits the
    logins at the same time, as for jobs. All else is Fabric's: ``run``, ``sudo``, ``put``, ``get``,
    ``forward_local``. The address, user and keys come from the inventory and ``ssh -G``;
    ``connect_kwargs`` and ``gateway`` of Fabric's configuration are not used.

    Args:
        host: One host, as ``--host`` takes it: a name, or ``user@host:port``.
        inventory: The file with the hosts; by default found as by the command line.
        password: For the login, if there is no key or agent.
        passphrase: Of the private keys, if there is no agent.
        config: Fabric's configuration, for commands.
        forward_agent: As for ``fabric.Connection``.
        inline_ssh_env: As for ``fabric.Connection``.

    Raises:
        UsageError: The name means several hosts, or this machine.
        InventoryError: The host is unknown, or the inventory is wrong.
    """

    # Fabric stores attributes that the class does not have in the configuration.
    login: HostLogin
    _link: ParamikoLink | None = None
    _opening: threading.Lock

    def __init__(
        self,
        host: str,
        *,
        inventory: str | os.PathLike[str] | None = None,
        password: str | None = None,
        passphrase: str | None = None,
        config: fabric.Config | None = None,
        forward_agent: bool | None = None,
        inline_ssh_env: bool | None = None,
    ) -> None:
        found = app.inventory.open_inventory(None if inventory is None else os.fspath(inventory))
        login = HostLogin.make(
            host,
            app.inventory.select_host(found, host),
            found,
            Credentials(
                password=None if password is None else Secret(password),
                passphrase=None if passphrase is None else Secret(passphrase),
            ),
            print_warning,
        )
        endpoint = login.endpoint
        super().__init__(
            endpoint.hostname,
            user=endpoint.user,
            port=endpoint.port,
            # Fabric would read ssh_config with another parser, which knows less of it.
            config=fabric.Config(overrides={"load_ssh_configs": False})
            if config is None
            else config,
            gateway=False,
            forward_agent=forward_agent,
            inline_ssh_env=inline_ssh_env,
        )
        self._set(login=login, _opening=threading.Lock(), _link=None)
        self.host, self.original_host = endpoint.hostname, machine_name(login.host)
        self.user, self.port = endpoint.user, endpoint.port

    def open(self) -> None:
        """Connect, check the host's key, and log in; if it is open, do nothing.

        Raises:
            ConnectError: The connection or the login failed.
        """
        with self._opening:
            if self.is_connected:
                return
            self._release()
            link = self.login.open()
            self._set(_link=link)
            self.client._transport = self.transport = link.transport  # noqa: SLF001 - for sftp

    def close(self) -> None:
        """Close the connection, its jump hosts and its SFTP session; a second call does nothing."""
        super().close()
        self._release()

    def _release(self) -> None:
        """Forget a connection that is broken or closed."""
        link = self._link
        self._set(_link=None)
        self._sftp = None
        if link is not None:
            link.close()
