# SPDX-License-Identifier: Apache-2.0
"""Log in with a key, and open the first session, in one round trip instead of three.

Paramiko asks for the service "ssh-userauth", sends the key's signature when the server has
accepted, and opens a session when it is logged in. OpenSSH handles one message after the other, so
all three can be sent at once. If it refuses the login, it answers the third one with
"unimplemented", which has no effect: there is no session then, on either side.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import paramiko
from paramiko.auth_handler import AuthHandler


def takes_one_flight(transport: paramiko.Transport, key: paramiko.PKey) -> bool:
    """Return whether a login can be sent behind the request for its service.

    With RSA, the algorithm of the signature depends on what the server knows, which it says after
    the key exchange.
    """
    known: Any = getattr(transport, "server_extensions", {})
    is_open = transport.remote_version.startswith("SSH-2.0-OpenSSH_")
    return is_open and ("rsa" not in key.get_name() or "server-sig-algs" in known)


_ANSWER_TIMEOUT_S = 30.0
"""Timeout for the session after the one for the login, so that it is never the first to pass."""


class OneFlightAuthHandler(AuthHandler):
    """Sends the login without waiting for the server to accept the service.

    Args:
        transport: The transport.
        session: Receives a session that is opened behind the login; ``None``: none is opened.
    """

    def __init__(
        self, transport: paramiko.Transport, session: Future[paramiko.Channel] | None = None
    ) -> None:
        super().__init__(transport)
        self._session = session
        self.is_sent = threading.Event()
        """Set when nothing more of this flight will be sent."""

    def _request_auth(self) -> None:
        super()._request_auth()  # type: ignore[misc] # not in the stubs
        # An agent may ask its user for a confirmation, for which the caller has a timeout.
        threading.Thread(target=self._send_login, name="mlcr-login", daemon=True).start()

    def _send_login(self) -> None:
        try:
            self._send_flight()
        finally:
            self.is_sent.set()

    def _send_flight(self) -> None:
        accepted = paramiko.Message()
        accepted.add_string("ssh-userauth")
        accepted.rewind()
        try:
            # What Paramiko does when the server has accepted.
            super()._parse_service_accept(accepted)  # type: ignore[misc] # not in the stubs
        except (EOFError, OSError):
            # The server closed the connection. What it said before is still to be read, and the
            # thread that reads ends the wait.
            return
        except Exception as problem:  # noqa: BLE001 - raised by wait_for_response
            self.transport.saved_exception = problem
            if self.auth_event is not None:
                self.auth_event.set()
        else:
            if self._session is not None:
                self._open_session(self._session)

    def _open_session(self, session: Future[paramiko.Channel]) -> None:
        timeout = self.transport.auth_timeout + _ANSWER_TIMEOUT_S
        try:
            session.set_result(self.transport.open_session(timeout=timeout))
        except Exception as problem:  # noqa: BLE001 - the next session that is opened reports it
            session.set_exception(problem)

    def _parse_service_accept(self, message: Any) -> None:
        """Do nothing: the login has been sent."""
