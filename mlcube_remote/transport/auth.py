# SPDX-License-Identifier: Apache-2.0
"""Logging in: agent, key files, then what the user typed; each key once, never a prompt."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import attrs
import paramiko
from paramiko.agent import AgentSSH

from mlcube_remote.errors import AuthenticationError, UnreachableError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.secret import Secret
from mlcube_remote.transport import keyfiles
from mlcube_remote.transport.refusals import at

_AGENT_TIMEOUT = 30.0
"""Seconds for one answer of the agent, which may ask its user to confirm."""


@attrs.frozen(kw_only=True)
class Credentials:
    """What the user typed once, before the fan-out."""

    password: Secret | None = None
    passphrase: Secret | None = None
    """For encrypted private keys."""


class _Agent(AgentSSH):
    """A running ssh-agent at a given socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_AGENT_TIMEOUT)
            connection.connect(path)
            self._connect(connection)  # type: ignore[attr-defined] # not in the stubs
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Let go of the agent."""
        self._close()  # type: ignore[attr-defined] # not in the stubs


@attrs.frozen
class _Candidate:
    key: paramiko.PKey
    origin: str


@attrs.define
class Login:
    """One attempt to log in to one server, and what it tried, for the message."""

    host: str
    endpoint: Endpoint
    credentials: Credentials
    tried: list[str] = attrs.field(factory=list, init=False)
    skipped: list[str] = attrs.field(factory=list, init=False)
    _accepted: tuple[str, ...] = attrs.field(default=(), init=False)
    """The methods that the server said it would take."""
    _is_halfway: bool = attrs.field(default=False, init=False)
    """Whether the server took a key and wants something else on top."""

    def run(self, transport: paramiko.Transport) -> None:
        """Log in.

        Raises:
            AuthenticationError: Nothing that was offered was accepted.
            UnreachableError: The server stopped answering.
        """
        if self._offer_keys(transport) or self._offer_password(transport):
            return
        raise self._refused()

    def _offer_keys(self, transport: paramiko.Transport) -> bool:
        agent = self._open_agent()
        try:
            for candidate in self._candidates(agent):
                self.tried.append(candidate.origin)
                login = partial(transport.auth_publickey, self.endpoint.user, candidate.key)
                if self._attempt(transport, login):
                    return True
                if self._is_halfway or (self._accepted and "publickey" not in self._accepted):
                    # More keys would only use up the tries that the server allows.
                    break
        finally:
            if agent is not None:
                agent.close()
        return False

    def _open_agent(self) -> _Agent | None:
        path = self.endpoint.identity_agent or os.environ.get("SSH_AUTH_SOCK")
        if not path or path.lower() == "none":
            return None
        try:
            return _Agent(str(Path(path).expanduser()))
        except (OSError, paramiko.SSHException) as problem:
            self.skipped.append(f"the agent at {path} ({problem})")
            return None

    def _candidates(self, agent: _Agent | None) -> Iterator[_Candidate]:
        """Give keys as ssh does: the agent's that were asked for, its others, then files."""
        held = tuple(agent.get_keys()) if agent is not None else ()
        files = {path: keyfiles.public_blob(Path(path)) for path in self.endpoint.identity_files}
        wanted = {blob: path for path, blob in files.items() if blob is not None}
        offered: set[bytes] = set()
        for key in sorted(held, key=lambda key: key.asbytes() not in wanted):
            blob = key.asbytes()
            if self.endpoint.identities_only and blob not in wanted:
                continue
            offered.add(blob)
            yield _Candidate(key, f"the agent's {wanted.get(blob, key.get_name())}")
        for path, known in files.items():
            if known in offered:
                continue
            if not Path(path).is_file():
                self.skipped.append(f"{path} (no such file)")
                continue
            try:
                loaded = keyfiles.load(Path(path), self.credentials.passphrase)
            except keyfiles.UnusableKeyError as problem:
                self.skipped.append(f"{path} ({problem})")
                continue
            if loaded.asbytes() not in offered:
                offered.add(loaded.asbytes())
                yield _Candidate(loaded, path)

    def _offer_password(self, transport: paramiko.Transport) -> bool:
        secret = self.credentials.password
        if secret is None:
            return False

        def answer(_title: str, _about: str, prompts: list[tuple[str, bool]]) -> list[str]:
            return [secret.reveal() for _ in prompts]

        user = self.endpoint.user
        methods: dict[str, Callable[[], list[str]]] = {
            "password": lambda: transport.auth_password(user, secret.reveal(), fallback=False),
            "keyboard-interactive": lambda: transport.auth_interactive(user, answer),
        }
        for name, login in methods.items():
            if self._accepted and name not in self._accepted:
                continue
            self.tried.append(name)
            if self._attempt(transport, login):
                return True
        return False

    def _attempt(self, transport: paramiko.Transport, login: Callable[[], list[str]]) -> bool:
        try:
            further = login()
        except paramiko.BadAuthenticationType as problem:
            self._accepted = tuple(problem.allowed_types)
            # Nothing was tried: the server does not know the method.
            self.tried[-1] += " (not accepted there)"
        except paramiko.SSHException as problem:
            if "timeout" in str(problem).lower():
                raise self._silent() from problem
            if not transport.is_active():
                raise self._too_many() from problem
            if not isinstance(problem, paramiko.AuthenticationException):
                # The agent would not sign, or this client cannot use the key.
                self.tried[-1] += f" ({problem})"
        except (EOFError, OSError) as problem:
            if not transport.is_active():
                raise self._too_many() from problem
            self.tried[-1] += f" ({problem})"
        else:
            if further:
                self._accepted = tuple(further)
                self._is_halfway = True
                self.tried[-1] += " (taken, but not enough)"
        return bool(transport.is_authenticated())

    def _silent(self) -> UnreachableError:
        return UnreachableError(
            self.host,
            f"{at(self.endpoint)} did not answer the login within "
            f"{self.endpoint.connect_timeout:g} s ({', '.join(self.tried)})",
            hint="sshd there is overloaded, or waits for a name server or directory; "
            "connect_timeout sets how long to wait",
        )

    def _too_many(self) -> AuthenticationError:
        error = AuthenticationError(
            self.host,
            f"login as {self.endpoint.user} refused: the server hung up after "
            f"{len(self.tried)} tries ({', '.join(self.tried)})",
            hint="too many keys, perhaps: set identity_file for the host (and IdentitiesOnly yes "
            "in ssh_config)",
        )
        error.server_hung_up = True
        return error

    def _refused(self) -> AuthenticationError:
        tried = f"tried: {', '.join(self.tried)}" if self.tried else "there was nothing to try"
        skipped = f"; could not use: {', '.join(self.skipped)}" if self.skipped else ""
        accepted = f"; the server takes: {', '.join(self._accepted)}" if self._accepted else ""
        port = f" -p {self.endpoint.port}" if self.endpoint.port != 22 else ""
        return AuthenticationError(
            self.host,
            f"login as {self.endpoint.user} refused ({tried}{skipped}{accepted})",
            hint=f"let a key in: ssh-copy-id{port} {self.endpoint.user}@{self.endpoint.hostname}; "
            "or set user and identity_file, load the key with ssh-add, or use --ask-password",
        )
