# SPDX-License-Identifier: Apache-2.0
"""Detect that a host is gone, and close its connection.

TCP and Paramiko's ``set_keepalive`` do not detect a dead peer behind a proxy or a jump host. A
request that the peer must answer does. Any answer counts, "request refused" too, and so does any
other byte: a link that is busy and slow is not dead.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

import attrs

from mlcube_remote.transport.connect_errors import SSH_ERRORS

MAX_SILENT_INTERVALS = 3
"""Number of intervals without a byte after which the connection is lost."""

_RESUME_TIME_S = 1.0
"""Time for this process to read what arrived while it was suspended (Ctrl-Z)."""


class Watched(Protocol):
    """A transport of Paramiko, or a part of one."""

    def is_active(self) -> bool:
        """Return whether it works, as far as is known."""
        ...

    def global_request(self, kind: str, data: None = None, wait: bool = True) -> object:
        """Send a request, and wait for its answer."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Receiver(Protocol):
    """What bytes from the host arrive on."""

    @property
    def last_received(self) -> float:
        """When the last byte arrived, on the monotonic clock."""
        ...


@attrs.define
class Keepalive:
    """Closes a transport after three intervals without a byte from the host."""

    transport: Watched
    sock: Receiver
    """The socket below the transport."""
    interval_s: float
    """Time without a byte before each request; 0: no requests."""
    _stopped: threading.Event = attrs.field(factory=threading.Event, init=False)

    def start(self) -> None:
        """Start to send requests."""
        if self.interval_s > 0:
            threading.Thread(target=self._run, name="mlcr-keepalive", daemon=True).start()

    def stop(self) -> None:
        """Send no more requests."""
        self._stopped.set()

    def _run(self) -> None:
        while self.transport.is_active():
            silent_s = time.monotonic() - self.sock.last_received
            if self._stopped.wait(max(self.interval_s - silent_s, 0)):
                return
            if time.monotonic() - self.sock.last_received < self.interval_s:
                continue
            # The request blocks if a dead peer accepts no more bytes, so another thread watches.
            is_answered = threading.Event()
            threading.Thread(
                target=self._watch, args=(is_answered,), name="mlcr-watch", daemon=True
            ).start()
            try:
                self.transport.global_request("keepalive@openssh.com", wait=True)
            except SSH_ERRORS:
                # The connection broke; its channels report that to their users.
                return
            finally:
                is_answered.set()

    def _watch(self, is_answered: threading.Event) -> None:
        """Close the transport if a request is not answered in time."""
        asked = time.monotonic()
        while not is_answered.wait(self._remaining(asked)) and not self._stopped.is_set():
            if self._remaining(asked) > 0 or is_answered.wait(_RESUME_TIME_S):
                continue
            if self._remaining(asked) <= 0:
                self.transport.close()
                return

    def _remaining(self, asked: float) -> float:
        """Return the time in seconds until the connection counts as lost."""
        silent_since = max(self.sock.last_received, asked - self.interval_s)
        deadline = silent_since + MAX_SILENT_INTERVALS * self.interval_s
        return max(0.0, deadline - time.monotonic())
