# SPDX-License-Identifier: Apache-2.0
"""Find the keys to log in with, in the agent and in files."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import paramiko
from paramiko.agent import AgentKey, AgentSSH

from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.secret import Secret
from mlcube_remote.transport import key_files
from mlcube_remote.transport.algorithms import CERTIFICATE, select_algorithms
from mlcube_remote.transport.connect_errors import SSH_ERRORS

_reported: set[str] = set()
"""Damaged files that the user knows of."""

_AGENT_TIMEOUT_S = 30.0
"""Timeout for one answer of the agent, which may ask the user to confirm."""


class _Agent(AgentSSH):
    """A running ssh-agent at a given socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_AGENT_TIMEOUT_S)
            connection.connect(path)
            self._connect(connection)  # type: ignore[attr-defined] # not in the stubs
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the connection to the agent."""
        self._close()  # type: ignore[attr-defined] # not in the stubs


class _AgentCertificate(AgentKey):
    """A certificate in the agent; Paramiko would offer its plain key under the wrong name."""

    @classmethod
    def from_key(cls, key: AgentKey) -> AgentKey:
        """Return a certificate as such, and any other key as it is."""
        is_certificate = key.get_name().endswith(CERTIFICATE)
        return cls(key.agent, key.blob, key.comment) if is_certificate else key

    def asbytes(self) -> bytes:
        """Return the certificate, which is what the agent knows the key by."""
        return self.blob


@attrs.frozen
class LoginKey:
    """A key, and for messages its file or the agent."""

    key: paramiko.PKey
    origin: str


@attrs.define
class LoginKeys:
    """An iterable of keys in ssh's order: configured keys of the agent, its other keys, key files.

    A key file is read only when its turn comes. Each key occurs once.
    """

    endpoint: Endpoint
    passphrase: Secret | None
    """For encrypted private keys."""
    skipped: list[str]
    """Collects what cannot be used, and why."""
    note: Callable[[str], None] = lambda _: None
    """Called with a warning for each damaged file, once per process."""
    ask_passphrase: Callable[[str], Secret | None] | None = None
    """Called with the path of an encrypted key, if all other keys were refused; returns its
    passphrase, or ``None`` to skip the key."""
    _agent: _Agent | None = attrs.field(init=False)

    @_agent.default
    def _open_agent(self) -> _Agent | None:
        path = self.endpoint.identity_agent or os.environ.get("SSH_AUTH_SOCK")
        if not path or path.lower() == "none":
            return None
        try:
            return _Agent(str(Path(path).expanduser()))
        except SSH_ERRORS as problem:
            self.skipped.append(f"the agent at {path} ({problem})")
            return None

    def close(self) -> None:
        """Close the connection to the agent; its keys are unusable then."""
        if self._agent is not None:
            self._agent.close()

    def __iter__(self) -> Iterator[LoginKey]:
        yielded: set[bytes] = set()
        for offer in self._offers():
            blob = _offered_blob(offer.key)
            if blob in yielded:
                continue
            yielded.add(blob)
            if self._is_allowed(offer.key):
                yield offer
            else:
                self.skipped.append(f"{offer.origin} (excluded by PubkeyAcceptedAlgorithms)")

    def _is_allowed(self, key: paramiko.PKey) -> bool:
        """Return whether ssh_config allows the key's kind."""
        option = "pubkeyacceptedalgorithms"
        allowed = select_algorithms(option, self.endpoint.algorithms.get(option, ()))
        kind = key.get_name().removesuffix(CERTIFICATE)
        if kind == "ssh-rsa":
            return any(name.startswith("rsa-") for name in allowed)
        return kind in allowed

    def _offers(self) -> Iterator[LoginKey]:
        """Yield certificates before plain keys; a server may accept only one of them."""
        files = self._public_files()
        configured = self._configured(files)
        in_agent: set[str] = set()
        for key in self.agent_keys(configured):
            path = configured.get(key.blob)
            in_agent |= {file for file, blob in files.items() if blob == key.blob}
            if path is not None:
                yield from self._certified(AgentKey(key.agent, key.blob), path)
            yield LoginKey(key, _describe_agent_key(key, path))
        locked: list[str] = []
        for path in files:
            if path not in in_agent and (loaded := self._load(path, locked)) is not None:
                yield from self._from_file(loaded, path)
        for path in locked:
            if (unlocked := self._unlock(path)) is not None:
                yield from self._from_file(unlocked, path)

    def _from_file(self, key: paramiko.PKey, path: str) -> Iterator[LoginKey]:
        yield from self._certified(key, path)
        # Not the same object: the first one has the certificate now.
        yield LoginKey(key_files.without_certificate(key), path)

    def _certified(self, key: paramiko.PKey, path: str) -> Iterator[LoginKey]:
        """Yield a key with the certificate of its file, if there is one that can be used."""
        certificate = key_files.certificate_path(Path(path))
        if not os.path.lexists(certificate):
            return
        try:
            key_files.load_certificate(key, Path(path))
        except key_files.UnusableKeyError as problem:
            self._skip(str(certificate), problem)
        else:
            yield LoginKey(key, str(certificate))

    def _public_files(self) -> dict[str, bytes | None]:
        return {path: key_files.read_public(Path(path)) for path in self.endpoint.identity_files}

    def _configured(self, files: dict[str, bytes | None]) -> dict[bytes, str]:
        # Of several paths to one key, the first.
        return {blob: path for path, blob in reversed(files.items()) if blob is not None}

    def agent_keys(self, configured: dict[bytes, str] | None = None) -> list[AgentKey]:
        """Return the agent's keys and certificates, those of configured files first."""
        if configured is None:
            configured = self._configured(self._public_files())
        certificates = {
            blob: path
            for path in configured.values()
            if (blob := key_files.read_certificate(Path(path))) is not None
        }
        known = configured.keys() | certificates.keys()
        keys = self._agent.get_keys() if self._agent is not None else ()
        found = [_AgentCertificate.from_key(key) for key in keys]
        if self.endpoint.identities_only:
            found = [key for key in found if key.blob in known]
        return sorted(found, key=lambda key: key.blob not in known)

    def _load(self, path: str, locked: list[str]) -> paramiko.PKey | None:
        """Return a key; add it to ``locked`` if the user can be asked for its passphrase."""
        if not Path(path).is_file():
            self.skipped.append(f"{path} (no such file)")
            return None
        try:
            return key_files.load(Path(path), self.passphrase)
        except key_files.UnusableKeyError as problem:
            if isinstance(problem, key_files.EncryptedKeyError) and self.ask_passphrase:
                locked.append(path)
            else:
                self._skip(path, problem)
            return None

    def _unlock(self, path: str) -> paramiko.PKey | None:
        passphrase = self.ask_passphrase(path) if self.ask_passphrase else None
        if passphrase is None:
            self.skipped.append(f"{path} (encrypted, and no passphrase given)")
            return None
        try:
            return key_files.load(Path(path), passphrase)
        except key_files.UnusableKeyError as problem:
            self._skip(path, problem)
            return None

    def _skip(self, path: str, problem: key_files.UnusableKeyError) -> None:
        self.skipped.append(f"{path} ({problem})")
        if isinstance(problem, key_files.DamagedKeyError) and path not in _reported:
            _reported.add(path)
            self.note(f"{path}: not used: {problem}")


def _describe_agent_key(key: AgentKey, path: str | None) -> str:
    name = path or key.comment or key.get_name()
    # A certificate has the comment of its key, which the agent usually holds too.
    is_certificate = isinstance(key, _AgentCertificate)
    return f"the agent's certificate {name}" if is_certificate else f"the agent's {name}"


def _offered_blob(key: paramiko.PKey) -> bytes:
    """Return what a login with a key shows to the server: a certificate or a plain key."""
    return bytes(key.public_blob.key_blob if key.public_blob else key.asbytes())
