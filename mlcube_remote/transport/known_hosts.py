# SPDX-License-Identifier: Apache-2.0
"""Read known_hosts files, as sshd(8) defines them, line by line.

Paramiko rejects the whole file if it does not know a line (such as ``@revoked``). This reader skips
only the line.
"""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Iterable
from functools import lru_cache

import attrs

from mlcube_remote.inventory.paths import DEVICE, describe_special_file

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
    is_authority: bool = False
    """Whether the key signs the certificates of hosts, instead of being a host's key."""
    file: str
    line: int

    @property
    def source(self) -> str:
        """``FILE:LINE``."""
        return f"{self.file}:{self.line}"

    def matches(self, name: str) -> bool:
        """Return whether the line applies to ``name`` (``host`` or ``[host]:port``)."""
        if self.patterns.startswith("|"):
            return _hash_matches(self.patterns, name)
        found = False
        for pattern in self.patterns.split(","):
            if pattern.startswith("!"):
                if _pattern_matches(pattern[1:], name):
                    return False
            elif _pattern_matches(pattern, name):
                found = True
        return found


def _pattern_matches(pattern: str, name: str) -> bool:
    # Not fnmatch: known_hosts has only * and ?, and [host]:port is not a character class.
    words = re.split(r"([*?])", pattern.lower())
    wildcards = {"*": ".*", "?": "."}
    expression = "".join(wildcards.get(word, re.escape(word)) for word in words)
    return re.fullmatch(expression, name) is not None


def _hash_matches(field: str, name: str) -> bool:
    parts = field.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in parts[2:])
    except binascii.Error:
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)


def format_name(host: str, port: int) -> str:
    """Return the name of a host and port in known_hosts."""
    host = host.lower()
    return host if port == DEFAULT_PORT else f"[{host}]:{port}"


def read_known_hosts(
    files: Iterable[str], note: Callable[[str], None], *, with_authorities: bool = False
) -> tuple[KnownKey, ...]:
    """Read known_hosts files; a missing file counts as empty.

    Args:
        files: Paths, in order.
        note: Called with a message for each file that cannot be used, and once per version of a
            file for each skipped line.
        with_authorities: Whether to return certificate authorities, too.
    """
    found: list[KnownKey] = []
    for file in files:
        if describe_special_file(file) == DEVICE:
            # With /dev/null, ssh_config says that there is no file.
            continue
        try:
            status = os.stat(file)
            keys, warnings = _read_version(file, status.st_mtime_ns, status.st_size)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as problem:
            note(f"{file}: cannot be read: {problem.strerror}")
            continue
        found += (key for key in keys if with_authorities or not key.is_authority)
        # The list is shared by all callers: the first one reports the warnings.
        while warnings:
            note(warnings.pop(0))
    return tuple(found)


@lru_cache(maxsize=16)
def _read_version(file: str, _time: int, _size: int) -> tuple[tuple[KnownKey, ...], list[str]]:
    """Read a file once for all hosts of a run."""
    with os.fdopen(open_known_hosts(file, os.O_RDONLY), "rb") as opened:
        return parse(file, opened.read())


def open_known_hosts(file: str | os.PathLike[str], flags: int) -> int:
    """Open a known_hosts file, and return its descriptor.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
    """
    # A pipe would block without O_NONBLOCK, which has no effect on a regular file.
    handle = os.open(file, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o600)
    if kind := describe_special_file(handle):
        os.close(handle)
        raise OSError(errno.EINVAL, f"it is {kind}, expected a file that keeps host keys")
    return handle


def parse(file: str, text: bytes) -> tuple[tuple[KnownKey, ...], list[str]]:
    """Return a file's keys, and a warning for each other line."""
    keys: list[KnownKey] = []
    warnings: list[str] = []
    for number, raw in enumerate(text.splitlines(), 1):
        words = raw.decode("utf-8", "replace").split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        key = _parse_key(words, file, number, marker)
        if key is None or marker not in ("", "@revoked", "@cert-authority"):
            warnings.append(f"{file}:{number}: skipped a line that is not a host key")
        else:
            keys.append(key)
    return tuple(keys), warnings


def _parse_key(words: list[str], file: str, line: int, marker: str) -> KnownKey | None:
    if len(words) < 3:
        return None
    try:
        blob = base64.b64decode(words[2], validate=True)
    except binascii.Error:
        return None
    if not blob.startswith(len(words[1]).to_bytes(4, "big") + words[1].encode()):
        return None
    return KnownKey(
        patterns=words[0],
        kind=words[1],
        blob=blob,
        revoked=marker == "@revoked",
        is_authority=marker == "@cert-authority",
        file=file,
        line=line,
    )


def how_to_trust(setting: str, *, is_check_disabled: bool) -> str:
    """Return how to trust new keys, for a hint.

    Args:
        setting: How the user sets it in the inventory.
        is_check_disabled: Whether ssh_config has ``StrictHostKeyChecking no``.
    """
    trust = f"or trust new keys: {setting}, or `StrictHostKeyChecking accept-new` in ~/.ssh/config"
    return trust + ("; the value no is not followed" if is_check_disabled else "")
