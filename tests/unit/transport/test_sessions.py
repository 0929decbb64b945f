# SPDX-License-Identifier: Apache-2.0
"""Sessions that the server refuses, and sessions that break."""

from __future__ import annotations

import threading
from unittest.mock import Mock

import paramiko
import pytest

from mlcube_remote.errors import StateUnknownError
from mlcube_remote.transport import sessions as sessions_module
from mlcube_remote.transport.channel import ShellChannel
from mlcube_remote.transport.keepalive import Keepalive
from mlcube_remote.transport.link import Link, Session
from mlcube_remote.transport.paramiko_link import ParamikoLink, ParamikoSession
from mlcube_remote.transport.sessions import NoSessionAvailableError, Sessions
from mlcube_remote.transport.ssh_transport import AuthenticatedTransport
from tests.support.waiting import wait_for


def failing_with(problem: Exception, *, is_active: bool = True) -> tuple[Sessions, Mock]:
    """Return sessions on a transport that opens none, and its mocked method."""
    opened = Mock(spec=AuthenticatedTransport)
    opened.transport.open_session.side_effect = problem
    opened.transport.is_active.return_value = is_active
    link = ParamikoLink("h1", opened, Mock(spec=Keepalive))
    return Sessions("h1", link, lambda: True), opened.transport.open_session


@pytest.mark.parametrize(
    "refusal",
    [
        paramiko.ChannelException(2, "Connect failed"),
        # If several sessions are refused at the same time, Paramiko raises this for all but one.
        paramiko.SSHException("Unable to open channel."),
    ],
)
def test_a_refused_session_is_requested_again(
    refusal: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "_SHORT_TIMEOUT_S", 0.2)
    sessions, open_session = failing_with(refusal)

    with pytest.raises(NoSessionAvailableError):
        sessions.open(is_brief=True)
    assert open_session.call_count > 1


def test_a_connection_that_ended_is_not_a_refusal() -> None:
    sessions, open_session = failing_with(paramiko.SSHException("not active"), is_active=False)

    with pytest.raises(StateUnknownError, match="h1: connection lost"):
        sessions.open(is_brief=True)
    assert open_session.call_count == 1


def test_a_server_that_does_not_answer_is_not_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "_OPEN_TIMEOUT_S", -1.0)
    sessions, _ = failing_with(paramiko.SSHException("Timeout opening channel."))

    with pytest.raises(StateUnknownError, match="h1: connection lost"):
        sessions.open(is_brief=True)


def test_a_connection_that_breaks_during_a_message_is_lost() -> None:
    channel = Mock(spec=paramiko.Channel, closed=False, in_buffer=Mock(), in_stderr_buffer=Mock())
    for method in (channel.sendall, channel.shutdown_write, channel.close):
        method.side_effect = EOFError
    shell = ShellChannel("h1", ParamikoSession(channel))

    with pytest.raises(StateUnknownError, match="h1: connection lost"):
        shell.send(b"text")
    with pytest.raises(StateUnknownError, match="h1: connection lost"):
        shell.end_input()
    shell.close()


def test_a_shell_that_was_opened_early_and_hangs_is_replaced_and_closed_when_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions_module, "_OPEN_TIMEOUT_S", 0.2)
    comes = threading.Event()
    late, at_once = Mock(spec=Session), Mock(spec=Session)

    def open_session(*_: object) -> Session:
        if threading.current_thread().name == "mlcr-early":
            comes.wait(60)
            return late
        return at_once

    sessions = Sessions("h1", Mock(spec=Link, open_session=open_session), lambda: True)
    sessions.open_early()
    assert sessions.acquire().session is at_once
    comes.set()
    wait_for(lambda: late.close.called)
    at_once.close.assert_not_called()
