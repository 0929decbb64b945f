# SPDX-License-Identifier: Apache-2.0
"""Check the key of a server, with the same result as ssh(1). Nothing skips the check."""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from io import FileIO
from pathlib import Path

import attrs
import paramiko

from mlcube_remote.errors import HostKeyError
from mlcube_remote.inventory.model import TRUST_SETTING, HostKeys
from mlcube_remote.inventory.paths import describe_special_file
from mlcube_remote.transport.known_hosts import (
    DEFAULT_PORT,
    KnownKey,
    format_name,
    how_to_trust,
    open_known_hosts,
    parse,
    read_known_hosts,
)


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as ssh-keygen prints it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


@attrs.frozen(kw_only=True)
class HostKeyCheck:
    """Checks the key of one server."""

    host: str
    """Inventory name, for messages."""
    hostname: str
    """Target of the connection."""
    port: int
    alias: str | None = None
    """HostKeyAlias: the name in known_hosts instead of hostname and port."""
    policy: HostKeys
    trust_setting: str = TRUST_SETTING
    """How the user sets in the inventory that new keys are trusted, for the hint."""
    is_check_disabled: bool = False
    """Whether ssh_config switches the check off, which is not followed."""
    user_files: tuple[str, ...]
    """New keys are written to the first that is a regular file or does not exist."""
    global_files: tuple[str, ...] = ()
    note: Callable[[str], None] = attrs.field(default=lambda _: None)
    _all: tuple[KnownKey, ...] = attrs.field(init=False, repr=False)
    known: tuple[KnownKey, ...] = attrs.field(init=False)
    """Keys of this server in the files."""
    _known_without_port: tuple[KnownKey, ...] = attrs.field(init=False)
    """Keys of the same host on the default port."""

    @_all.default
    def _read(self) -> tuple[KnownKey, ...]:
        return read_known_hosts((*self.user_files, *self.global_files), self.note)

    @known.default
    def _select(self) -> tuple[KnownKey, ...]:
        return tuple(key for key in self._all if key.matches(self.name))

    @_known_without_port.default
    def _select_without_port(self) -> tuple[KnownKey, ...]:
        if self.alias or self.port == DEFAULT_PORT or any(not key.revoked for key in self.known):
            return ()
        return tuple(key for key in self._all if key.matches(self.hostname.lower()))

    @property
    def _own_files(self) -> tuple[str, ...]:
        return tuple(file for file in self.user_files if not describe_special_file(file))

    @property
    def name(self) -> str:
        """The name in known_hosts."""
        return self.alias.lower() if self.alias else format_name(self.hostname, self.port)

    def prefer_known(self, offered: Iterable[str]) -> list[str]:
        """Return the key algorithms, first those of known keys.

        Otherwise a server with several keys could send one that is not known.
        """
        kinds = {key.kind for key in (*self.known, *self._known_without_port) if not key.revoked}
        if "ssh-rsa" in kinds:
            kinds |= {"rsa-sha2-512", "rsa-sha2-256"}
        return sorted(offered, key=lambda name: name not in kinds)

    def verify(self, key: paramiko.PKey) -> None:
        """Accept the server's key, or raise.

        Raises:
            HostKeyError: It is revoked, differs from the known one, or is unknown and the policy
                is strict.
        """
        if self.knows(key):
            return
        if self.policy is HostKeys.ACCEPT_NEW and self._own_files:
            self._add(key)
            return
        raise _unknown_error(self, key, self._own_files)

    def knows(self, key: paramiko.PKey) -> bool:
        """Return whether the server's key is known.

        Raises:
            HostKeyError: It is revoked, or differs from the known one.
        """
        if self._is_known(key, self.known):
            return True
        # As ssh does: the known key of the host's default port is accepted on other ports, too. A
        # different key there is unknown, not changed.
        self._refuse_revoked(key, self._known_without_port)
        return any(known.blob == key.asbytes() for known in self._known_without_port)

    def trust(self, key: paramiko.PKey) -> None:
        """Add a key to the known ones, because the user has compared it.

        Raises:
            HostKeyError: It cannot be written, or another key has become known.
        """
        if not self._own_files:
            raise _unknown_error(self, key, self._own_files)
        self._add(key)

    def _is_known(self, key: paramiko.PKey, known: Iterable[KnownKey]) -> bool:
        """Return whether the key is known; false if no key of the server is known.

        Raises:
            HostKeyError: It is revoked, or another key of the server is known.
        """
        known = tuple(known)
        self._refuse_revoked(key, known)
        valid = [entry for entry in known if not entry.revoked]
        if any(entry.blob == key.asbytes() for entry in valid):
            return True
        if valid:
            same_kind = [entry for entry in valid if entry.kind == key.get_name()]
            raise _changed_error(self, key, (same_kind or valid)[0])
        return False

    def _refuse_revoked(self, key: paramiko.PKey, known: Iterable[KnownKey]) -> None:
        for entry in known:
            if entry.revoked and entry.blob == key.asbytes():
                raise HostKeyError(
                    self.host,
                    f"its host key {fingerprint(entry.blob)} is revoked ({entry.source})",
                    hint="do not connect; ask the host's administrator",
                )

    def _add(self, key: paramiko.PKey) -> None:
        """Write the key to the first file, unless another connection has just done so."""
        path = Path(self._own_files[0]).expanduser()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = open_known_hosts(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
            with FileIO(handle, "rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                text = file.read()
                current, _ = parse(str(path), text)
                own = (
                    each for each in current if each.matches(self.name) and not each.is_authority
                )
                if self._is_known(key, own):
                    return
                start = "" if not text or text.endswith(b"\n") else "\n"
                _write_and_read_back(file, f"{start}{_format_line(self.name, key)}\n".encode())
        except OSError as problem:
            raise HostKeyError(
                self.host, f"its new host key could not be written to {path}: {problem.strerror}"
            ) from problem
        self.note(
            f"trusting its new host key {key.get_name()} {fingerprint(key.asbytes())} "
            f"(written to {path})"
        )


def _unknown_error(check: HostKeyCheck, key: paramiko.PKey, files: Sequence[str]) -> HostKeyError:
    return HostKeyError(
        check.host,
        f"its host key is unknown: {key.get_name()} {fingerprint(key.asbytes())}, and no line "
        f"for {check.name} in {', '.join(files) or 'a file (ssh_config names none)'}",
        hint="ask the host's administrator for its fingerprint and compare, or print it from a "
        f"machine that you trust: {_scan_command(check.hostname, check.port, key)}\n"
        f"{_how_to_add(_format_line(check.name, key), files)}\n"
        f"{how_to_trust(check.trust_setting, is_check_disabled=check.is_check_disabled)}",
    )


def _changed_error(check: HostKeyCheck, key: paramiko.PKey, known: KnownKey) -> HostKeyError:
    return HostKeyError(
        check.host,
        f"its host key has CHANGED: {key.get_name()} {fingerprint(key.asbytes())}, expected "
        f"{known.kind} {fingerprint(known.blob)} ({known.source})",
        hint="another machine may intercept the connection, or the host was reinstalled; ask "
        f"its administrator, and compare: {_scan_command(check.hostname, check.port, key)}\n"
        "if the new key is right: "
        f"ssh-keygen -R {shlex.quote(check.name)} -f {shlex.quote(known.file)}",
    )


def _format_line(name: str, key: paramiko.PKey) -> str:
    return f"{name} {key.get_name()} {key.get_base64()}"


def _how_to_add(line: str, files: Sequence[str]) -> str:
    """Return how to add a line to the first file that is read for the host."""
    if not files:
        return "then set UserKnownHostsFile in ~/.ssh/config to a file that keeps keys, and add it"
    return f"then add it: echo {shlex.quote(line)} >> {shlex.quote(files[0])}"


def _write_and_read_back(file: FileIO, line: bytes) -> None:
    """Write to a file, and check that it keeps what is written to it."""
    file.write(line)
    file.seek(0)
    if line not in file.readall():
        raise OSError(errno.EIO, "the file does not keep what is written to it")


def _scan_command(hostname: str, port: int, key: paramiko.PKey) -> str:
    """Return a command that prints the fingerprint of a server's key."""
    option = "" if port == DEFAULT_PORT else f" -p {port}"
    kind = key.get_name().removeprefix("ssh-").partition("-")[0]
    return f"ssh-keyscan{option} -t {kind} {shlex.quote(hostname)} | ssh-keygen -lf -"
