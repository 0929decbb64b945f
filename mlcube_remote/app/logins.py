# SPDX-License-Identifier: Apache-2.0
"""Log in to hosts."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mlcube_remote.app.options import Credentials
from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.transport.base import Connection


@attrs.frozen(kw_only=True)
class Logins:
    """Connects to the hosts of an inventory."""

    inventory: Inventory
    credentials: Credentials

    def connect(self, host: Host, note: Callable[[str], None] = lambda _: None) -> Connection:
        """Open a connection to a host.

        Args:
            host: The host.
            note: Takes notes for the user.

        Raises:
            ConnectError: The host cannot be connected to.
        """
        # The SSH libraries are slow to import: the threads that connect share that time.
        from mlcube_remote.transport import connect  # noqa: PLC0415

        return connect(
            host,
            self.inventory,
            password=self.credentials.password,
            passphrase=self.credentials.passphrase,
            answers=self.credentials.answers,
            note=note,
        )
