# SPDX-License-Identifier: Apache-2.0
"""Find the keys to log in with, in the agent and in files."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import attrs
import paramiko
from paramiko.agent import AgentSSH

from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.secret import Secret
from mlcube_remote.transport import key_files
from mlcube_remote.transport.connect_errors import SSH_ERRORS

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
        files = self._public_files()
        configured = self._configured(files)
        yielded: set[bytes] = set()
        for key in self.agent_keys(configured):
            yielded.add(key.asbytes())
            yield LoginKey(key, f"the agent's {configured.get(key.asbytes(), key.get_name())}")
        for path, public in files.items():
            if public in yielded:
                continue
            loaded = self._load(path)
            if loaded is not None and loaded.asbytes() not in yielded:
                yielded.add(loaded.asbytes())
                yield LoginKey(loaded, path)

    def _public_files(self) -> dict[str, bytes | None]:
        return {path: key_files.read_public(Path(path)) for path in self.endpoint.identity_files}

    def _configured(self, files: dict[str, bytes | None]) -> dict[bytes, str]:
        return {blob: path for path, blob in files.items() if blob is not None}

    def agent_keys(self, configured: dict[bytes, str] | None = None) -> list[paramiko.PKey]:
        """Return the agent's keys, those of configured files first."""
        if configured is None:
            configured = self._configured(self._public_files())
        keys = self._agent.get_keys() if self._agent is not None else ()
        if self.endpoint.identities_only:
            keys = tuple(key for key in keys if key.asbytes() in configured)
        return sorted(keys, key=lambda key: key.asbytes() not in configured)

    def _load(self, path: str) -> paramiko.PKey | None:
        if not Path(path).is_file():
            self.skipped.append(f"{path} (no such file)")
            return None
        try:
            return key_files.load(Path(path), self.passphrase)
        except key_files.UnusableKeyError as problem:
            self.skipped.append(f"{path} ({problem})")
            return None
