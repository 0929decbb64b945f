# SPDX-License-Identifier: Apache-2.0
"""Send nothing on a channel after its end.

A server forgets a channel once both sides have closed it, and OpenSSH's ends the whole connection
if another message for this channel arrives. Paramiko's thread answers a close at once, and another
thread may have prepared a message at that moment, such as the end of standard input, that it sends
afterwards.
"""

from __future__ import annotations

import threading
from typing import Any

import paramiko
from paramiko.common import MSG_CHANNEL_CLOSE


class _OrderedSender:
    """The transport of one channel, which drops messages that come after the channel's close."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._order = threading.Lock()
        self._is_closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send_user_message(self, message: paramiko.Message) -> None:
        with self._order:
            if self._is_closed:
                return
            self._is_closed = message.asbytes()[0] == MSG_CHANNEL_CLOSE
            self._transport._send_user_message(message)  # noqa: SLF001 - as a channel does


def keep_order(channel: paramiko.Channel) -> None:
    """Drop messages of a new channel that another thread would send after the channel's close."""
    unchecked: Any = channel
    unchecked.transport = _OrderedSender(unchecked.transport)
