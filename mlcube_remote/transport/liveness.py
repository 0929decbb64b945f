# SPDX-License-Identifier: Apache-2.0
"""Noticing that the other side is gone.

Neither TCP nor Paramiko's ``set_keepalive`` notices a dead peer behind a proxy or a jump host; a
question that wants an answer does. Any answer counts, also "request refused".
"""

from __future__ import annotations

import threading
import time

import attrs
import paramiko

SILENT_PERIODS = 3
"""Keepalives without an answer until the connection counts as lost."""


@attrs.define
class Liveness:
    """Closes a transport whose other side has not answered for three periods."""

    transport: paramiko.Transport
    period: float
    """Seconds between questions."""
    _answered: float = attrs.field(factory=time.monotonic, init=False)
    _over: threading.Event = attrs.field(factory=threading.Event, init=False)

    def start(self) -> None:
        """Begin to ask; does nothing when the period is 0."""
        if self.period > 0:
            threading.Thread(target=self._ask, name="mlcr-alive", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()

    def _ask(self) -> None:
        # The watcher is only needed once an answer is late; short jobs never start one.
        while not self._over.wait(self.period) and self.transport.is_active():
            watcher = threading.Timer(self.period * (SILENT_PERIODS - 1), self.transport.close)
            watcher.daemon = True
            watcher.start()
            self.transport.global_request("keepalive@openssh.com", wait=True)
            watcher.cancel()
            self._answered = time.monotonic()
