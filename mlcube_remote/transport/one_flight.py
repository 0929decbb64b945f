# SPDX-License-Identifier: Apache-2.0
"""Log in with a key in one round trip instead of two.

Paramiko asks for the service "ssh-userauth", and sends the key's signature when the server has
accepted. OpenSSH handles one message after the other, so both can be sent at once.
"""

from __future__ import annotations

import threading
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


class OneFlightAuthHandler(AuthHandler):
    """Sends the login without waiting for the server to accept the service."""

    def _request_auth(self) -> None:
        super()._request_auth()  # type: ignore[misc] # not in the stubs
        # An agent may ask its user for a confirmation, for which the caller has a timeout.
        threading.Thread(target=self._send_login, name="mlcr-login", daemon=True).start()

    def _send_login(self) -> None:
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

    def _parse_service_accept(self, message: Any) -> None:
        """Do nothing: the login has been sent."""
