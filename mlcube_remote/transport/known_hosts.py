# SPDX-License-Identifier: Apache-2.0
"""known_hosts files, as sshd(8) defines them, read one line at a time.

Paramiko gives up a whole file at a line it does not know (a ``@revoked`` one, for instance); here
such a line costs nothing but itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import attrs

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
    file: str
    line: int

    @property
    def source(self) -> str:
        """``FILE:LINE``."""
        return f"{self.file}:{self.line}"

    def matches(self, name: str) -> bool:
        """Return whether the line speaks of ``name`` (``host`` or ``[host]:port``)."""
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
    # Not fnmatch: known_hosts has * and ? only, and [host]:port is no character class.
    words = re.split(r"([*?])", pattern.lower())
    wild = {"*": ".*", "?": "."}
    return (
        re.fullmatch("".join(wild.get(word, re.escape(word)) for word in words), name) is not None
    )


def _hash_matches(field: str, name: str) -> bool:
    parts = field.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in parts[2:])
    except binascii.Error:
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)


def host_name(host: str, port: int) -> str:
    """Return the name that known_hosts has for a host at a port."""
    host = host.lower()
    return host if port == DEFAULT_PORT else f"[{host}]:{port}"


def read_known_hosts(files: Iterable[str], note: Callable[[str], None]) -> tuple[KnownKey, ...]:
    """Read known_hosts files; missing ones are empty.

    Args:
        files: Paths, in order.
        note: Told of lines that are skipped, once per version of a file.
    """
    found: list[KnownKey] = []
    for file in files:
        try:
            about = os.stat(file)
            keys, complaints = _read_version(file, about.st_mtime_ns, about.st_size)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as problem:
            note(f"{file}: cannot be read: {problem.strerror}")
            continue
        found += keys
        while complaints:
            note(complaints.pop(0))
    return tuple(found)


@lru_cache(maxsize=16)
def _read_version(file: str, _time: int, _size: int) -> tuple[tuple[KnownKey, ...], list[str]]:
    """Read a file; a fan-out asks about the same one for each of its hosts."""
    return parse(file, Path(file).read_bytes())


def parse(file: str, text: bytes) -> tuple[tuple[KnownKey, ...], list[str]]:
    """Return a file's keys, and what is to be said of the lines that are none."""
    keys: list[KnownKey] = []
    complaints: list[str] = []
    for number, raw in enumerate(text.splitlines(), 1):
        words = raw.decode("utf-8", "replace").split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        if marker == "@cert-authority":
            # Host certificates are not asked for, so nothing is lost but a way to know a host.
            continue
        key = _key(words, file, number, revoked=marker == "@revoked")
        if key is None or marker not in ("", "@revoked"):
            complaints.append(f"{file}:{number}: skipped a line that is not a host key")
        else:
            keys.append(key)
    return tuple(keys), complaints


def _key(words: list[str], file: str, line: int, *, revoked: bool) -> KnownKey | None:
    if len(words) < 3:
        return None
    try:
        blob = base64.b64decode(words[2], validate=True)
    except binascii.Error:
        return None
    if not blob.startswith(len(words[1]).to_bytes(4, "big") + words[1].encode()):
        return None
    return KnownKey(
        patterns=words[0], kind=words[1], blob=blob, revoked=revoked, file=file, line=line
    )
