# SPDX-License-Identifier: Apache-2.0
"""Noticing that the other side is gone.

Neither TCP nor Paramiko's ``set_keepalive`` notices a dead peer behind a proxy or a jump host; a
question that wants an answer does. Any answer counts, also "request refused", and so does any
other byte: a slow link that is busy is not dead.
"""

from __future__ import annotations

import threading
import time

import attrs
import paramiko

from mlcube_remote.transport.monitored_socket import Wire

SILENT_PERIODS = 3
"""Keepalive periods without a byte until the connection counts as lost."""


@attrs.define
class Liveness:
    """Closes a transport whose other side has not been heard for three periods."""

    transport: paramiko.Transport
    wire: Wire
    period: float
    """Seconds between questions; 0 asks none."""
    _over: threading.Event = attrs.field(factory=threading.Event, init=False)

    def start(self) -> None:
        """Begin to ask."""
        if self.period > 0:
            threading.Thread(target=self._ask, name="mlcr-alive", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()

    def _ask(self) -> None:
        while self.transport.is_active():
            quiet = time.monotonic() - self.wire.heard_at
            if self._over.wait(max(self.period - quiet, 0)):
                return
            if time.monotonic() - self.wire.heard_at < self.period:
                continue
            # Asking blocks where the dead peer takes no more bytes, so another thread watches.
            answered = threading.Event()
            threading.Thread(
                target=self._watch, args=(answered,), name="mlcr-watch", daemon=True
            ).start()
            try:
                self.transport.global_request("keepalive@openssh.com", wait=True)
            except (paramiko.SSHException, EOFError, OSError):
                # The connection broke; those who use it learn it from their channels.
                return
            finally:
                answered.set()

    def _watch(self, answered: threading.Event) -> None:
        asked = time.monotonic()
        while not answered.wait(self._left(asked)) and not self._over.is_set():
            # Whoever stopped this process (Ctrl-Z) has stopped the reading too: let it catch up.
            if self._left(asked) <= 0 and not answered.wait(1) and self._left(asked) <= 0:
                self.transport.close()
                return

    def _left(self, asked: float) -> float:
        """Return the seconds until the other side counts as gone."""
        heard = max(self.wire.heard_at, asked - self.period)
        return max(0.0, heard + SILENT_PERIODS * self.period - time.monotonic())
