# SPDX-License-Identifier: Apache-2.0
"""Is this the host that it claims to be? known_hosts as sshd(8) defines it, one line at a time.

Paramiko gives up a whole file at a line it does not know (a ``@revoked`` one, for instance), and
its default policies accept; so the files are read here, and no policy skips the check.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import fnmatch
import hashlib
import hmac
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs
import paramiko

from mlcube_remote.errors import HostKeyError
from mlcube_remote.inventory.model import HostKeys

DEFAULT_PORT = 22


@attrs.frozen(kw_only=True)
class KnownKey:
    """One usable line of a known_hosts file."""

    patterns: str
    """The line's first field: names, patterns, or one hashed name."""
    kind: str
    """Key type, such as ``ssh-ed25519``."""
    blob: bytes
    revoked: bool
    source: str
    """``FILE:LINE``."""

    def matches(self, name: str) -> bool:
        """Return whether the line speaks of ``name`` (``host`` or ``[host]:port``)."""
        if self.patterns.startswith("|1|"):
            return _hash_matches(self.patterns, name)
        found = False
        for pattern in self.patterns.split(","):
            if pattern.startswith("!"):
                if fnmatch.fnmatchcase(name, pattern[1:].lower()):
                    return False
            elif fnmatch.fnmatchcase(name, _literal_brackets(pattern.lower())):
                found = True
        return found


def _literal_brackets(pattern: str) -> str:
    # known_hosts has * and ? only; [host]:port is no character class.
    return pattern.replace("[", "[[]")


def _hash_matches(field: str, name: str) -> bool:
    try:
        _, _, salt, digest = field.split("|")
        made = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
        return hmac.compare_digest(made, base64.b64decode(digest))
    except (ValueError, binascii.Error):
        return False


def read_known_hosts(files: Iterable[str], note: Callable[[str], None]) -> tuple[KnownKey, ...]:
    """Read known_hosts files; missing ones are empty.

    Args:
        files: Paths, in order.
        note: Told of lines that are skipped.
    """
    return tuple(key for file in files for key in _read_file(Path(file), note))


def _read_file(path: Path, note: Callable[[str], None]) -> Iterator[KnownKey]:
    try:
        lines = path.read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as problem:
        note(f"{path}: cannot be read: {problem.strerror}")
        return
    for number, raw in enumerate(lines, 1):
        words = raw.decode("utf-8", "replace").split()
        if not words or words[0].startswith("#"):
            continue
        source = f"{path}:{number}"
        marker = words.pop(0) if words[0].startswith("@") else ""
        if marker == "@cert-authority":
            continue
        key = _key(words, source, revoked=marker == "@revoked")
        if key is None or marker not in ("", "@revoked"):
            note(f"{source}: skipped a line that is not a host key")
        else:
            yield key


def _key(words: list[str], source: str, *, revoked: bool) -> KnownKey | None:
    if len(words) < 3:
        return None
    try:
        blob = base64.b64decode(words[2], validate=True)
    except (ValueError, binascii.Error):
        return None
    if not blob.startswith(len(words[1]).to_bytes(4, "big") + words[1].encode()):
        return None
    return KnownKey(patterns=words[0], kind=words[1], blob=blob, revoked=revoked, source=source)


def host_name(host: str, port: int) -> str:
    """Return the name that known_hosts has for a host at a port."""
    host = host.lower()
    return host if port == DEFAULT_PORT else f"[{host}]:{port}"


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
    """What the key is looked up by: HostKeyAlias, else the name that is connected to."""
    port: int
    policy: HostKeys
    user_files: tuple[str, ...]
    global_files: tuple[str, ...] = ()
    note: Callable[[str], None] = attrs.field(default=lambda _: None)
    known: tuple[KnownKey, ...] = attrs.field(init=False)

    @known.default
    def _load(self) -> tuple[KnownKey, ...]:
        every = read_known_hosts((*self.user_files, *self.global_files), self.note)
        return tuple(key for key in every if key.matches(self.name))

    @property
    def name(self) -> str:
        """The name in known_hosts."""
        return host_name(self.hostname, self.port)

    def preferred(self, offered: Iterable[str]) -> list[str]:
        """Return the key algorithms with those first for which a key is known.

        Otherwise a server with several keys would show one that nobody has ever seen.
        """
        kinds = {key.kind for key in self.known if not key.revoked}
        if "ssh-rsa" in kinds:
            kinds |= {"rsa-sha2-512", "rsa-sha2-256"}
        every = list(offered)
        return [name for name in every if name in kinds] + [
            name for name in every if name not in kinds
        ]

    def verify(self, key: paramiko.PKey) -> None:
        """Accept the server's key, or raise.

        Raises:
            HostKeyError: It is revoked, differs from the known one, or is unknown and the policy
                is strict.
        """
        blob = key.asbytes()
        for known in self.known:
            if known.revoked and known.blob == blob:
                raise HostKeyError(
                    self.host,
                    f"its host key {fingerprint(blob)} is revoked ({known.source})",
                    hint="do not connect; ask the host's administrator",
                )
        valid = [known for known in self.known if not known.revoked]
        if any(known.blob == blob for known in valid):
            return
        same_kind = [known for known in valid if known.kind == key.get_name()]
        if valid:
            raise self._changed(key, (same_kind or valid)[0])
        if self.policy is HostKeys.ACCEPT_NEW:
            self._remember(key)
            return
        raise self._unknown(key)

    def _inspect(self) -> str:
        port = "" if self.port == DEFAULT_PORT else f" -p {self.port}"
        return f"ssh-keyscan{port} {self.hostname} 2>/dev/null | ssh-keygen -lf -"

    def _unknown(self, key: paramiko.PKey) -> HostKeyError:
        port = "" if self.port == DEFAULT_PORT else f" -p {self.port}"
        return HostKeyError(
            self.host,
            f"its host key is unknown: {key.get_name()} {fingerprint(key.asbytes())}, and no line "
            f"for {self.name} in {', '.join(self.user_files)}",
            hint=f"compare it with the host's own: {self._inspect()}\n"
            f"then add it: ssh-keyscan{port} {self.hostname} >> {self.user_files[0]}\n"
            "or trust it on first use: host_keys: accept-new",
        )

    def _changed(self, key: paramiko.PKey, known: KnownKey) -> HostKeyError:
        file = known.source.rpartition(":")[0]
        return HostKeyError(
            self.host,
            f"its host key has CHANGED: {key.get_name()} {fingerprint(key.asbytes())}, expected "
            f"{known.kind} {fingerprint(known.blob)} ({known.source})",
            hint="somebody may be in between, or the host was set up anew; ask who runs it, "
            f"compare: {self._inspect()}\n"
            f"if it is right: ssh-keygen -R '{self.name}' -f {file}",
        )

    def _remember(self, key: paramiko.PKey) -> None:
        path = Path(self.user_files[0]).expanduser()
        line = f"{self.name} {key.get_name()} {key.get_base64()}\n"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(handle, "a+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                text = file.read()
                if line not in text:
                    file.write(("" if not text or text.endswith("\n") else "\n") + line)
        except OSError as problem:
            raise HostKeyError(
                self.host, f"its new host key could not be written to {path}: {problem.strerror}"
            ) from problem
        self.note(
            f"trusting its new host key {key.get_name()} {fingerprint(key.asbytes())} "
            f"(written to {path})"
        )
