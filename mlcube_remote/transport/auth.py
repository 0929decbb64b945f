# SPDX-License-Identifier: Apache-2.0
"""Log in with the agent's keys, key files, and what the user answers. Each key is tried once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial

import attrs
import paramiko

from mlcube_remote.errors import AuthenticationError, ConnectError, UnreachableError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.transport.connect_errors import SSH_ERRORS, format_address
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.guarded_transport import (
    DisconnectedError,
    GuardedTransport,
    ProtocolError,
    printable,
)
from mlcube_remote.transport.kerberos import add_ticket_hint
from mlcube_remote.transport.login_answers import LoginAnswers
from mlcube_remote.transport.login_keys import LoginKeys
from mlcube_remote.transport.monitored_socket import MonitoredSocket
from mlcube_remote.transport.questions import no_terminal_hint

_ASKING_METHODS = frozenset({"password", "keyboard-interactive"})
_FEWER_KEYS = "set identity_file for the host (and IdentitiesOnly yes in ~/.ssh/config)"


@attrs.define
class Login:
    """One login to one server. It collects what it tried, for the error message."""

    host: str
    endpoint: Endpoint
    credentials: Credentials
    sock: MonitoredSocket
    """The socket below the transport."""
    note: Callable[[str], None] = lambda _: None
    """Called with lines for the user."""
    tried: list[str] = attrs.field(factory=list, init=False)
    skipped: list[str] = attrs.field(factory=list, init=False)
    _accepted: tuple[str, ...] = attrs.field(default=(), init=False)
    """The methods that the server accepts, if it has listed them."""
    _is_halfway: bool = attrs.field(default=False, init=False)
    """Whether the server accepted a key and requires another method in addition."""

    def run(self, transport: GuardedTransport) -> None:
        """Log in.

        Raises:
            AuthenticationError: The server accepted nothing of what was tried.
            UnreachableError: The server stopped answering, or the connection broke.
        """
        answers = LoginAnswers(self.host, self.endpoint, self.credentials)
        if self._try_keys(transport, answers) or self._try_answers(transport, answers):
            return
        if not self.tried and self._try_nothing(transport):
            return
        raise self._refused(transport.listed_methods)

    def _try_keys(self, transport: GuardedTransport, answers: LoginAnswers) -> bool:
        if "publickey" in self.endpoint.disabled_methods:
            return False
        ask = answers.ask_passphrase if self.credentials.can_ask else None
        passphrase = self.credentials.passphrase
        keys = LoginKeys(self.endpoint, passphrase, self.skipped, self.note, ask)
        with closing(keys):
            for candidate in keys:
                self.tried.append(candidate.origin)
                login = partial(transport.auth_publickey, self.endpoint.user, candidate.key)
                if self._attempt(transport, login):
                    return True
                if self._is_halfway or (self._accepted and "publickey" not in self._accepted):
                    # More keys would only use up the attempts that the server allows.
                    break
        return False

    def _try_answers(self, transport: GuardedTransport, answers: LoginAnswers) -> bool:
        for name, login in answers.methods():
            listed = transport.listed_methods
            if (listed and name not in listed) or name in self.endpoint.disabled_methods:
                continue
            self.tried.append(name)
            if self._attempt(transport, partial(login, transport)):
                return True
        answers.forget()
        return False

    def _try_nothing(self, transport: GuardedTransport) -> bool:
        """Ask the server what it accepts, as ssh(1) does first; it may accept this already."""
        try:
            transport.auth_none(self.endpoint.user)
        except paramiko.BadAuthenticationType as problem:
            self._accepted = tuple(problem.allowed_types)
        except SSH_ERRORS as problem:
            self._raise_if_over(transport, transport.explain_end(problem))
        return bool(transport.is_authenticated())

    def _attempt(self, transport: GuardedTransport, login: Callable[[], list[str]]) -> bool:
        """Try one key or password; return whether the login is complete."""
        try:
            required = login()
        except paramiko.BadAuthenticationType as problem:
            self._accepted = tuple(problem.allowed_types)
            self.tried[-1] += " (method not accepted by the server)"
        except SSH_ERRORS as problem:
            self._raise_if_over(transport, transport.explain_end(problem))
            if not isinstance(problem, paramiko.AuthenticationException):
                # The agent did not sign, or this client cannot use the key.
                self.tried[-1] += f" ({printable(str(problem))})"
        else:
            if required:
                self._accepted = tuple(required)
                self._is_halfway = True
                self.tried[-1] += " (accepted, but another method is required)"
        return bool(transport.is_authenticated())

    def _raise_if_over(self, transport: GuardedTransport, problem: Exception) -> None:
        """Raise unless the server just refused this attempt, so that another one is possible."""
        error: ConnectError
        if isinstance(problem, ProtocolError):
            error = _violation(self, problem)
        elif isinstance(problem, DisconnectedError):
            error = self._too_many_attempts(f": '{problem}'")
        elif isinstance(problem, paramiko.SSHException) and "timeout" in str(problem).lower():
            error = self._no_answer()
        elif isinstance(problem, EOFError) or (not transport.is_active() and self.sock.is_ended):
            error = self._connection_broke()
        elif not transport.is_active():
            # sshd ends a connection with a message if a client tries too often.
            error = self._too_many_attempts("")
        else:
            return
        raise error from problem

    def _no_answer(self) -> UnreachableError:
        return UnreachableError(
            self.host,
            f"{format_address(self.endpoint)} did not answer the login within "
            f"{self.endpoint.connect_timeout:g} s ({', '.join(self.tried)})",
            hint="its sshd is overloaded, or waits for a name server or directory; "
            "connect_timeout sets how long to wait",
        )

    def _connection_broke(self) -> UnreachableError:
        return UnreachableError(
            self.host,
            f"the connection to {format_address(self.endpoint)} was closed during the login "
            f"(tried: {', '.join(self.tried)})",
            hint="check the network, and try again; if it happens every time, the server may "
            f"have got too many keys: {_FEWER_KEYS}",
        )

    def _too_many_attempts(self, words: str) -> AuthenticationError:
        return AuthenticationError(
            self.host,
            f"login as {self.endpoint.user} refused: the server disconnected after "
            f"{len(self.tried)} attempts ({', '.join(self.tried)}){words}",
            hint=f"maybe too many keys: {_FEWER_KEYS}",
        )

    def _refused(self, listed: frozenset[str]) -> AuthenticationError:
        tried = f"tried: {', '.join(self.tried)}" if self.tried else "no usable key"
        skipped = f"; could not use: {', '.join(self.skipped)}" if self.skipped else ""
        methods = printable(", ".join(self._accepted))
        accepted = f"; the server accepts: {methods}" if methods else ""
        return AuthenticationError(
            self.host,
            f"login as {self.endpoint.user} refused ({tried}{skipped}{accepted})",
            hint=_next_step(self, listed),
        )


def _violation(login: Login, problem: ProtocolError) -> UnreachableError:
    return UnreachableError(
        login.host,
        f"{format_address(login.endpoint)} does not follow the SSH protocol during the login: "
        f"{problem}",
        hint="see the log of its sshd; a device on the way may change the data",
    )


def _next_step(login: Login, listed: frozenset[str]) -> str:
    endpoint = login.endpoint
    port = f" -p {endpoint.port}" if endpoint.port != 22 else ""
    add_key = f"ssh-copy-id{port} {endpoint.user}@{endpoint.hostname}"
    if not (_ASKING_METHODS.isdisjoint(listed) or login.credentials.has_any):
        hint = f"{no_terminal_hint(login.host)}; or add your key: {add_key}"
    else:
        hint = (
            f"add your key on the host: {add_key}; "
            "or set user and identity_file, load the key with ssh-add, or use --ask-password"
        )
    return add_ticket_hint(hint, endpoint, listed)
