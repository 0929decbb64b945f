# SPDX-License-Identifier: Apache-2.0
"""Logging in: agent, key files, then what the user typed; each key once, never a prompt."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import paramiko
from paramiko.agent import AgentSSH

from mlcube_remote.errors import AuthenticationError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.secret import Secret


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
        connection.settimeout(10)
        connection.connect(path)
        self._connect(connection)  # type: ignore[attr-defined] # not in the stubs

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
    note: Callable[[str], None]
    tried: list[str] = attrs.field(factory=list, init=False)
    skipped: list[str] = attrs.field(factory=list, init=False)

    def run(self, transport: paramiko.Transport) -> None:
        """Log in.

        Raises:
            AuthenticationError: Nothing that was offered was accepted.
        """
        agent = self._open_agent()
        try:
            for candidate in self._candidates(agent):
                if self._try_key(transport, candidate):
                    return
        finally:
            if agent is not None:
                agent.close()
        if self._try_password(transport):
            return
        raise self._refused()

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
        held = tuple(agent.get_keys()) if agent is not None else ()
        wanted = {
            blob: path
            for path in self.endpoint.identity_files
            if (blob := _public_blob(Path(path))) is not None
        }
        offered: set[bytes] = set()
        for key in sorted(held, key=lambda key: key.asbytes() not in wanted):
            blob = key.asbytes()
            if self.endpoint.identities_only and blob not in wanted:
                continue
            offered.add(blob)
            yield _Candidate(key, f"agent key {wanted.get(blob, key.get_name())}")
        for path in self.endpoint.identity_files:
            key_file = Path(path)
            if _public_blob(key_file) in offered:
                continue
            if (loaded := self._load(key_file)) is not None and loaded.asbytes() not in offered:
                offered.add(loaded.asbytes())
                yield _Candidate(loaded, path)

    def _load(self, path: Path) -> paramiko.PKey | None:
        if not path.is_file():
            return None
        passphrase = self.credentials.passphrase
        password = passphrase.reveal() if passphrase is not None else None
        problem = "not a private key that can be read"
        for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
            try:
                key = kind.from_private_key_file(str(path), password)
            except paramiko.PasswordRequiredException:
                problem = "encrypted; load it into the agent (ssh-add) or use --ask-passphrase"
                break
            except OSError as error:
                problem = error.strerror or str(error)
                break
            except (paramiko.SSHException, ValueError):
                continue
            certificate = path.with_name(path.name + "-cert.pub")
            if certificate.is_file():
                key.load_certificate(str(certificate))
            return key
        self.skipped.append(f"{path} ({problem})")
        return None

    def _try_key(self, transport: paramiko.Transport, candidate: _Candidate) -> bool:
        self.tried.append(candidate.origin)
        return self._attempt(
            transport, lambda: transport.auth_publickey(self.endpoint.user, candidate.key)
        )

    def _try_password(self, transport: paramiko.Transport) -> bool:
        secret = self.credentials.password
        if secret is None:
            return False
        self.tried.append("password")
        if self._attempt(
            transport,
            lambda: transport.auth_password(self.endpoint.user, secret.reveal(), fallback=False),
        ):
            return True

        def answer(_title: str, _about: str, prompts: list[tuple[str, bool]]) -> list[str]:
            return [secret.reveal() for _ in prompts]

        return self._attempt(
            transport, lambda: transport.auth_interactive(self.endpoint.user, answer)
        )

    def _attempt(self, transport: paramiko.Transport, login: Callable[[], object]) -> bool:
        try:
            login()
        except paramiko.AuthenticationException:
            if not transport.is_active():
                raise self._too_many() from None
        except paramiko.SSHException:
            if transport.is_active():
                raise
            raise self._too_many() from None
        return bool(transport.is_authenticated())

    def _too_many(self) -> AuthenticationError:
        return AuthenticationError(
            self.host,
            f"login as {self.endpoint.user} refused: the server hung up after "
            f"{len(self.tried)} tries ({', '.join(self.tried)})",
            hint="too many keys, perhaps: set identity_file for the host (and IdentitiesOnly yes "
            "in ssh_config)",
        )

    def _refused(self) -> AuthenticationError:
        tried = f"tried: {', '.join(self.tried)}" if self.tried else "there was nothing to try"
        skipped = f"; could not use: {', '.join(self.skipped)}" if self.skipped else ""
        port = f" -p {self.endpoint.port}" if self.endpoint.port != 22 else ""
        return AuthenticationError(
            self.host,
            f"login as {self.endpoint.user} refused ({tried}{skipped})",
            hint=f"let a key in: ssh-copy-id{port} {self.endpoint.user}@{self.endpoint.hostname}; "
            "or set user and identity_file, load the key with ssh-add, or use --ask-password",
        )


def _public_blob(path: Path) -> bytes | None:
    try:
        words = path.with_name(path.name + ".pub").read_text().split()
        return base64.b64decode(words[1])
    except (OSError, ValueError, IndexError):
        return None
