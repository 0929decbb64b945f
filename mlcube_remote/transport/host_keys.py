# SPDX-License-Identifier: Apache-2.0
"""Is this the host that it claims to be? The verdict is ssh(1)'s, and nothing skips the check."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
import paramiko

from mlcube_remote.errors import HostKeyError
from mlcube_remote.inventory.model import HostKeys
from mlcube_remote.transport.known_hosts import (
    DEFAULT_PORT,
    KnownKey,
    host_name,
    parse,
    read_known_hosts,
)

_NOT_OFFERED = ("ssh-rsa", "ssh-dss")
"""Algorithms that sign with SHA-1."""


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as ssh-keygen prints it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


@attrs.frozen(kw_only=True)
class HostKeyCheck:
    """Everything needed to decide about the key of one server."""

    host: str
    """Inventory name, for messages."""
    hostname: str
    """What is connected to."""
    port: int
    alias: str | None = None
    """HostKeyAlias: what the key is looked up by, without a port."""
    policy: HostKeys
    user_files: tuple[str, ...]
    """The first is where new keys are written."""
    global_files: tuple[str, ...] = ()
    note: Callable[[str], None] = attrs.field(default=lambda _: None)
    _every: tuple[KnownKey, ...] = attrs.field(init=False, repr=False)
    known: tuple[KnownKey, ...] = attrs.field(init=False)
    """What the files say of this server."""
    _bare: tuple[KnownKey, ...] = attrs.field(init=False)
    """What they say of the same host at its usual port."""

    @_every.default
    def _read(self) -> tuple[KnownKey, ...]:
        return read_known_hosts((*self._own_files, *self.global_files), self.note)

    @known.default
    def _select(self) -> tuple[KnownKey, ...]:
        return tuple(key for key in self._every if key.matches(self.name))

    @_bare.default
    def _select_bare(self) -> tuple[KnownKey, ...]:
        if self.alias or self.port == DEFAULT_PORT or any(not key.revoked for key in self.known):
            return ()
        return tuple(key for key in self._every if key.matches(self.hostname.lower()))

    @property
    def _own_files(self) -> tuple[str, ...]:
        # "none" is ssh_config's word for having no such file.
        return tuple(file for file in self.user_files if file != "none")

    @property
    def name(self) -> str:
        """The name in known_hosts."""
        return self.alias.lower() if self.alias else host_name(self.hostname, self.port)

    def preferred(self, offered: Iterable[str]) -> list[str]:
        """Return the key algorithms with those first for which a key is known.

        Otherwise a server with several keys would show one that nobody has ever seen.
        """
        kinds = {key.kind for key in (*self.known, *self._bare) if not key.revoked}
        if "ssh-rsa" in kinds:
            kinds |= {"rsa-sha2-512", "rsa-sha2-256"}
        sound = [name for name in offered if name not in _NOT_OFFERED]
        return sorted(sound, key=lambda name: name not in kinds)

    def verify(self, key: paramiko.PKey) -> None:
        """Accept the server's key, or raise.

        Raises:
            HostKeyError: It is revoked, differs from the known one, or is unknown and the policy
                is strict.
        """
        if self._is_known(key, self.known):
            return
        # As ssh does: a key known for the host at its usual port will do. What differs from it
        # says nothing about another port.
        self._refuse_revoked(key, self._bare)
        if any(known.blob == key.asbytes() for known in self._bare):
            return
        if self.policy is HostKeys.ACCEPT_NEW and self._own_files:
            self._remember(key)
            return
        raise self._unknown(key)

    def _is_known(self, key: paramiko.PKey, known: Iterable[KnownKey]) -> bool:
        """Return whether it is one of the known keys; false when none is known."""
        known = tuple(known)
        self._refuse_revoked(key, known)
        valid = [each for each in known if not each.revoked]
        if any(each.blob == key.asbytes() for each in valid):
            return True
        if valid:
            same_kind = [each for each in valid if each.kind == key.get_name()]
            raise self._changed(key, (same_kind or valid)[0])
        return False

    def _refuse_revoked(self, key: paramiko.PKey, known: Iterable[KnownKey]) -> None:
        for each in known:
            if each.revoked and each.blob == key.asbytes():
                raise HostKeyError(
                    self.host,
                    f"its host key {fingerprint(each.blob)} is revoked ({each.source})",
                    hint="do not connect; ask the host's administrator",
                )

    def _inspect(self, key: paramiko.PKey) -> str:
        port = "" if self.port == DEFAULT_PORT else f" -p {self.port}"
        kind = key.get_name().removeprefix("ssh-").partition("-")[0]
        return f"ssh-keyscan{port} -t {kind} {shlex.quote(self.hostname)} | ssh-keygen -lf -"

    def _line(self, key: paramiko.PKey) -> str:
        return f"{self.name} {key.get_name()} {key.get_base64()}"

    def _unknown(self, key: paramiko.PKey) -> HostKeyError:
        files = self._own_files or ("~/.ssh/known_hosts",)
        return HostKeyError(
            self.host,
            f"its host key is unknown: {key.get_name()} {fingerprint(key.asbytes())}, and no line "
            f"for {self.name} in {', '.join(files)}",
            hint="compare it with what its administrator says, or from a machine you trust: "
            f"{self._inspect(key)}\n"
            f"then add it: echo {shlex.quote(self._line(key))} >> {shlex.quote(files[0])}\n"
            "or trust it on first use: host_keys: accept-new",
        )

    def _changed(self, key: paramiko.PKey, known: KnownKey) -> HostKeyError:
        return HostKeyError(
            self.host,
            f"its host key has CHANGED: {key.get_name()} {fingerprint(key.asbytes())}, expected "
            f"{known.kind} {fingerprint(known.blob)} ({known.source})",
            hint="somebody may be in between, or the host was set up anew; ask who runs it, "
            f"compare: {self._inspect(key)}\n"
            f"if it is right: ssh-keygen -R {shlex.quote(self.name)} -f {shlex.quote(known.file)}",
        )

    def _remember(self, key: paramiko.PKey) -> None:
        """Add the key, unless another connection has added one in the meantime."""
        path = Path(self._own_files[0]).expanduser()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(handle, "rb+", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                text = file.read()
                now, _ = parse(str(path), text)
                if self._is_known(key, (each for each in now if each.matches(self.name))):
                    return
                start = "" if not text or text.endswith(b"\n") else "\n"
                file.write(f"{start}{self._line(key)}\n".encode())
        except OSError as problem:
            raise HostKeyError(
                self.host, f"its new host key could not be written to {path}: {problem.strerror}"
            ) from problem
        self.note(
            f"trusting its new host key {key.get_name()} {fingerprint(key.asbytes())} "
            f"(written to {path})"
        )
