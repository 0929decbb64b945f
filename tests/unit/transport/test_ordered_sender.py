# SPDX-License-Identifier: Apache-2.0
"""A server may forget a channel after its close, so nothing follows the close."""

from __future__ import annotations

from typing import Any

import attrs
import paramiko
import pytest
from paramiko.common import MSG_CHANNEL_CLOSE, MSG_CHANNEL_DATA, MSG_CHANNEL_EOF

from mlcube_remote.transport.ordered_sender import keep_order


@attrs.define
class _Transport:
    sent: list[int] = attrs.field(factory=list)

    def get_log_channel(self) -> str:
        return "paramiko.transport"

    def _sanitize_packet_size(self, size: int) -> int:
        return size

    def _unlink_channel(self, _number: int) -> None:
        pass

    def _send_user_message(self, message: paramiko.Message) -> None:
        self.sent.append(message.asbytes()[0])


@pytest.fixture
def transport() -> _Transport:
    return _Transport()


@pytest.fixture
def channel(transport: _Transport) -> Any:
    channel: Any = paramiko.Channel(1)
    channel._set_transport(transport)
    channel._set_window(100_000, 32_768)
    channel._set_remote_channel(3, 100_000, 32_768)
    keep_order(channel)
    return channel


def test_messages_keep_their_order(transport: _Transport, channel: Any) -> None:
    channel.sendall(b"input")
    channel.shutdown_write()
    channel._handle_close(paramiko.Message())
    assert transport.sent == [MSG_CHANNEL_DATA, MSG_CHANNEL_EOF, MSG_CHANNEL_CLOSE]


def test_an_end_of_input_does_not_follow_a_close(transport: _Transport, channel: Any) -> None:
    prepared = channel._send_eof()  # by a thread that is stopped before it sends
    channel._handle_close(paramiko.Message())
    channel.transport._send_user_message(prepared)
    assert transport.sent == [MSG_CHANNEL_CLOSE]
