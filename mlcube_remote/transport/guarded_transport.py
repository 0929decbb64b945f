# SPDX-License-Identifier: Apache-2.0
"""Paramiko's transport with limits for what a server may send.

Paramiko trusts the numbers in packets: a server can announce a packet of 4 GB, a million questions,
or send more than the window of a channel. It also raises whatever its parsers raise (KeyError,
struct.error). Here each violation of the protocol ends the connection with :class:`ProtocolError`.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import paramiko
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_USERAUTH_FAILURE,
    MSG_USERAUTH_INFO_REQUEST,
)
from paramiko.packet import Packetizer

from mlcube_remote.formatting import escape_unprintable
from mlcube_remote.transport.one_flight import OneFlightAuthHandler, takes_one_flight

WINDOW = 16 * 1024 * 1024
"""Bytes in transit on one channel; with smaller windows the throughput is half of this."""

PACKET = 128 * 1024
"""Maximum size of the data in a packet."""

_MAX_PACKET = 256 * 1024
"""Maximum size of a packet, as in OpenSSH."""

_MAX_COUNT = 256
"""Maximum number of questions, or of extensions, in one packet."""

_MAX_TEXT = 200
_MAX_NAMES = 8

_LISTS = {
    "kex_algo_list": ("key exchange methods", "kexalgorithms"),
    "server_key_algo_list": ("host key algorithms", "hostkeyalgorithms"),
    "server_encrypt_algo_list": ("ciphers", "ciphers"),
    "server_mac_algo_list": ("MACs", "macs"),
}
"""List of the server → its name in messages, and the option of ssh_config."""


class ProtocolError(paramiko.SSHException):
    """The server does not follow the SSH protocol; the message is printable."""


class DisconnectedError(paramiko.SSHException):
    """The server ended the connection with a reason; the message is printable."""


class OldServerError(paramiko.ssh_exception.IncompatiblePeer):
    """The server has only algorithms that this client does not use.

    Args:
        message: Names the algorithms of both sides, printable.
        option: The option of ssh_config for them.
        offered: The server's algorithms.
    """

    def __init__(self, message: str, option: str, offered: frozenset[str]) -> None:
        super().__init__(message)
        self.option = option
        self.offered = offered


def printable(text: str) -> str:
    """Return a server's text for a message: one line, without control characters, not too long."""
    return escape_unprintable(text[:_MAX_TEXT]) + ("…" if len(text) > _MAX_TEXT else "")


class _LimitedPacketizer(Packetizer):
    methods: frozenset[str] = frozenset()
    """The methods of login with which the client can continue, from the last refusal."""

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Read ``n`` bytes, which the server has announced."""
        if not 0 <= n <= _MAX_PACKET:
            raise ProtocolError(f"it announced a packet of {n} bytes")
        data: bytes = super().read_all(n, check_rekey)
        return data

    def read_message(self) -> tuple[int, Any]:
        """Return a packet's type and its content."""
        kind, message = super().read_message()
        if kind == MSG_USERAUTH_INFO_REQUEST:
            # Other packets of the login have the same number; they end before the fourth field.
            for _ in ("name", "instruction", "language"):
                message.get_string()
            _check_count(message.get_int())
            message.rewind()
        elif kind == MSG_USERAUTH_FAILURE:
            self.methods = frozenset(message.get_list())
            message.rewind()
        return kind, message


def _check_count(number: int) -> None:
    if number > _MAX_COUNT:
        raise ProtocolError(f"it announced {number} entries, expected at most {_MAX_COUNT}")


def _check_window(channel: paramiko.Channel) -> None:
    if len(channel.in_buffer) + len(channel.in_stderr_buffer) > WINDOW:
        raise ProtocolError("it sent more data than it may")


def _feed(channel: Any, message: Any) -> None:
    _check_window(channel)
    channel._feed(message)  # noqa: SLF001 - what Paramiko's own table calls


def _feed_extended(channel: Any, message: Any) -> None:
    _check_window(channel)
    channel._feed_extended(message)  # noqa: SLF001


def _is_violation(problem: paramiko.SSHException) -> bool:
    if str(problem).startswith("Error reading SSH protocol banner"):
        return isinstance(problem.__context__, ValueError)
    return type(problem) is paramiko.SSHException


_END_TIMEOUT_S = 2.0
"""Time for the messages that arrived before the end of a connection."""


class GuardedTransport(paramiko.Transport):
    """A client's transport that ends at the first violation of the protocol."""

    _channel_handler_table = {  # noqa: RUF012 - Paramiko's attribute
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]  # noqa: SLF001
        MSG_CHANNEL_DATA: _feed,
        MSG_CHANNEL_EXTENDED_DATA: _feed_extended,
    }

    def __init__(self, sock: Any, *, opens_session: bool = False) -> None:
        """Use a socket.

        Args:
            sock: The socket.
            opens_session: Whether to open a session with the first login, if the server can do it;
                see :meth:`take_session`.
        """
        self._opens_session = opens_session
        self._session: Future[paramiko.Channel] | None = None
        self._session_lock = threading.Lock()
        super().__init__(
            sock,
            default_window_size=WINDOW,
            default_max_packet_size=PACKET,
            packetizer_class=_LimitedPacketizer,
        )

    @property
    def listed_methods(self) -> frozenset[str]:
        """The methods of login that the server listed in its last refusal."""
        methods: frozenset[str] = self.packetizer.methods  # type: ignore[attr-defined] # see __init__
        return methods

    def auth_publickey(
        self, username: str, key: paramiko.PKey, event: threading.Event | None = None
    ) -> list[str]:
        """Log in with a key; see :mod:`mlcube_remote.transport.one_flight`."""
        if event is not None or not self.is_active() or not takes_one_flight(self, key):
            return super().auth_publickey(username, key, event)
        # With the first key only: sshd writes a line to its log for a session that comes too early.
        session: Future[paramiko.Channel] | None = Future() if self._opens_session else None
        self._opens_session = False
        answered = threading.Event()
        handler = OneFlightAuthHandler(self, session)
        self.auth_handler = handler
        handler.auth_publickey(username, key, answered)
        try:
            required: list[str] = handler.wait_for_response(answered)
        finally:
            # If another login overtook the session, the server would open it after that one.
            handler.is_sent.wait(_END_TIMEOUT_S)
        if not required:
            self._session = session
        return required

    def _send_user_message(self, message: Any) -> None:
        super()._send_user_message(message)  # type: ignore[misc] # not in the stubs
        handler = self.auth_handler
        if isinstance(handler, OneFlightAuthHandler):
            # Before the login is complete, this can only be the request for the session.
            handler.is_sent.set()

    def take_session(self, timeout: float) -> paramiko.Channel | None:
        """Return the session that was opened with the login, to the first caller.

        Args:
            timeout: Seconds to wait for the server's answer.

        Returns:
            ``None``: there is none, or the server has refused it.
        """
        with self._session_lock:
            session, self._session = self._session, None
        if session is None:
            return None
        try:
            return session.result(timeout)
        except Exception:  # noqa: BLE001 - the next session that is opened reports it
            return None

    def get_exception(self) -> Exception | None:
        """Return why the connection ended; an error of a parser as a :class:`ProtocolError`."""
        problem = super().get_exception()
        if problem is None or isinstance(problem, (EOFError, OSError)):
            return problem
        if isinstance(problem, paramiko.SSHException) and not _is_violation(problem):
            return problem
        words = printable(str(problem))
        violation = ProtocolError(f"{type(problem).__name__}: {words}" if words else repr(problem))
        violation.__cause__ = problem
        return violation

    def explain_end(self, problem: Exception) -> Exception:
        """Return why the connection ended, if *problem* says only that nothing could be sent.

        The server may have said why before it closed the connection; the thread that reads comes
        to that a moment later.
        """
        if not isinstance(problem, EOFError):
            return problem
        self.join(_END_TIMEOUT_S)
        said = self.saved_exception
        return said if isinstance(said, DisconnectedError) else problem

    def _parse_disconnect(self, message: Any) -> None:
        message.get_int()
        self.saved_exception = DisconnectedError(printable(message.get_text()))

    def _parse_ext_info(self, message: Any) -> None:
        _check_count(message.get_int())
        message.rewind()
        super()._parse_ext_info(message)  # type: ignore[misc] # not in the stubs

    def _parse_kex_init(self, message: Any) -> None:
        start = message.packet.tell()
        offers = self._really_parse_kex_init(message)  # type: ignore[attr-defined]
        message.packet.seek(start)
        try:
            super()._parse_kex_init(message)  # type: ignore[misc] # not in the stubs
        except paramiko.ssh_exception.IncompatiblePeer as problem:
            raise self._too_old(offers) from problem

    def _too_old(self, offers: dict[str, list[str]]) -> Exception:
        options = self.get_security_options()
        own = dict(
            zip(
                _LISTS,
                (options.kex, options.key_types, options.ciphers, options.digests),
                strict=True,
            )
        )
        for name, (words, option) in _LISTS.items():
            if set(own[name]).isdisjoint(offers[name]):
                shown = printable(", ".join(offers[name][:_MAX_NAMES]) or "none")
                return OldServerError(
                    f"its {words} are {shown}; expected one of {', '.join(own[name])}",
                    option,
                    frozenset(offers[name]),
                )
        return ProtocolError("it offers no algorithm for a part of the connection")
