# SPDX-License-Identifier: Apache-2.0
"""Read private keys from files, and their public part without the passphrase."""

from __future__ import annotations

import base64
import binascii
import copy
import os
import struct
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.pkey import PublicBlob

from mlcube_remote.secret import Secret
from mlcube_remote.transport.algorithms import CERTIFICATE

_MAGIC = b"openssh-key-v1\0"
_KINDS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)

_PARSE_ERRORS = (
    paramiko.SSHException,
    ValueError,
    LookupError,
    TypeError,
    OverflowError,
    RuntimeError,
    AssertionError,
    struct.error,
    UnsupportedAlgorithm,
)
"""All that parsers of keys raise for damaged ones; Paramiko asserts that two halves are equal."""


class UnusableKeyError(Exception):
    """A key file that cannot be used; the message says why."""


class EncryptedKeyError(UnusableKeyError):
    """A key that needs a passphrase, and there is none."""


class DamagedKeyError(UnusableKeyError):
    """A file that should be repaired or removed; there is a warning, even if the login succeeds."""


def read_public(path: Path) -> bytes | None:
    """Return the public part of the key in a file; ``None`` if it cannot be read.

    OpenSSH's own format has an unencrypted public part, even if the key is encrypted. For other
    formats, the ``.pub`` file next to the key is read. The file itself may also be a public key,
    if an agent has the private part.
    """
    for file in (path, path.with_name(path.name + ".pub")):
        text = _read(file)
        if text is None:
            continue
        blob = _parse_public(text) or _parse_private(text)
        if blob is not None:
            return blob
    return None


_FOREIGN = {
    b"-----BEGIN PRIVATE KEY-----": "a key in PKCS#8 format",
    b"-----BEGIN ENCRYPTED PRIVATE KEY-----": "an encrypted key in PKCS#8 format",
}
_SECURITY_KEY = "the key of a security key"
_MAX_SIZE = 1024 * 1024
"""Maximum size of a key file in bytes."""


def describe_foreign(path: Path) -> str | None:
    """Return what a key file is if OpenSSH can use it and Paramiko cannot; otherwise ``None``."""
    head = _read(path) or b""
    for line, kind in _FOREIGN.items():
        if head.lstrip().startswith(line):
            return kind
    blob = read_public(path)
    if blob is not None and blob[4:].startswith(b"sk-"):
        return _SECURITY_KEY
    return None


def _read(path: Path) -> bytes | None:
    """Return the content of a regular file, up to a maximum; ``None`` if it cannot be read."""
    if not path.is_file():
        # A pipe would block.
        return None
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SIZE)
    except OSError:
        return None


def _parse_public(text: bytes) -> bytes | None:
    words = text.split(None, 2)
    if len(words) < 2 or words[0].startswith(b"-"):
        return None
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        return None
    return blob if blob[4 : 4 + len(words[0])] == words[0] else None


def _parse_private(text: bytes) -> bytes | None:
    lines = [line.strip() for line in text.splitlines()]
    try:
        start = lines.index(b"-----BEGIN OPENSSH PRIVATE KEY-----") + 1
        end = lines.index(b"-----END OPENSSH PRIVATE KEY-----")
        rest = base64.b64decode(b"".join(lines[start:end]), validate=True)
        if not rest.startswith(_MAGIC):
            return None
        rest = rest[len(_MAGIC) :]
        for _ in ("cipher", "key derivation", "its options"):
            _, rest = _split_string(rest)
        # The number of keys, which is always one, precedes the public key.
        return _split_string(rest[4:])[0]
    except (ValueError, struct.error):
        return None


def _split_string(data: bytes) -> tuple[bytes, bytes]:
    """Split data that starts with an SSH string into the string and the rest."""
    (length,) = struct.unpack_from(">I", data)
    return data[4 : 4 + length], data[4 + length :]


def load(path: Path, passphrase: Secret | None) -> paramiko.PKey:
    """Read a private key, without its certificate.

    Raises:
        UnusableKeyError: It cannot be read, or the passphrase is wrong or missing.
    """
    key = _parse(path, passphrase.reveal() if passphrase is not None else None)
    if key is not None:
        _check_mode(path)
        return key
    if passphrase is not None and _is_encrypted(path):
        raise UnusableKeyError("wrong passphrase")
    raise DamagedKeyError("not a private key that can be read")


def _check_mode(path: Path) -> None:
    """Raise an error for a key of this user that others can read, as ssh(1) does."""
    try:
        status = path.stat()
    except OSError as problem:
        raise DamagedKeyError(problem.strerror or str(problem)) from problem
    mode = status.st_mode & 0o777
    if status.st_uid == os.getuid() and mode & 0o077:
        raise DamagedKeyError(f"others can read it (mode {mode:04o}); run: chmod 600 {path}")


def certificate_path(path: Path) -> Path:
    """Return where the certificate of a key is, if it has one."""
    return path.with_name(path.name + "-cert.pub")


def read_certificate(path: Path) -> bytes | None:
    """Return the certificate of a key's file; ``None`` if there is none that can be read."""
    text = _read(certificate_path(path))
    return _parse_public(text) if text is not None else None


def without_certificate(key: paramiko.PKey) -> paramiko.PKey:
    """Return a copy of a key without its certificate."""
    plain = copy.copy(key)
    plain.public_blob = None
    return plain


def load_certificate(key: paramiko.PKey, path: Path) -> None:
    """Add the certificate of a key's file to a key; it is then offered instead of the plain key.

    Raises:
        UnusableKeyError: It cannot be used.
    """
    text = _read(certificate_path(path))
    if text is None:
        raise DamagedKeyError("it cannot be read")
    try:
        blob = PublicBlob.from_string(text.decode())
    except _PARSE_ERRORS as problem:
        raise DamagedKeyError("not a certificate that can be read") from problem
    if blob.key_type != key.get_name() + CERTIFICATE:
        raise DamagedKeyError("not a certificate of this key")
    key.public_blob = blob


def _parse(path: Path, password: str | None) -> paramiko.PKey | None:
    for kind in _KINDS:
        try:
            return kind.from_private_key_file(str(path), password)
        except paramiko.PasswordRequiredException:
            raise EncryptedKeyError(
                "encrypted; load it into the agent (ssh-add) or use --ask-passphrase"
            ) from None
        except OSError as problem:
            raise DamagedKeyError(problem.strerror or str(problem)) from problem
        except _PARSE_ERRORS:
            # Another kind of key, damaged, or a wrong passphrase: the errors do not differ.
            continue
    return None


def _is_encrypted(path: Path) -> bool:
    try:
        _parse(path, None)
    except UnusableKeyError:
        return True
    return False
