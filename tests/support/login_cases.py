# SPDX-License-Identifier: Apache-2.0
"""Cases of logins: keys, certificates, agents and ssh_config, each made in a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import attrs

KINDS: dict[str, tuple[str, ...]] = {
    "ed25519": ("-t", "ed25519"),
    "ecdsa256": ("-t", "ecdsa", "-b", "256"),
    "ecdsa521": ("-t", "ecdsa", "-b", "521"),
    "rsa": ("-t", "rsa", "-b", "2048"),
    "rsa-pem": ("-t", "rsa", "-b", "2048", "-m", "PEM"),
    "ecdsa-pem": ("-t", "ecdsa", "-m", "PEM"),
    "rsa-pkcs8": ("-t", "rsa", "-b", "2048", "-m", "PKCS8"),
    "ecdsa-pkcs8": ("-t", "ecdsa", "-m", "PKCS8"),
}


def run(*command: str | Path, **more: object) -> None:
    subprocess.run(command, check=True, capture_output=True, **more)  # type: ignore[call-overload]


@attrs.frozen
class Folder:
    """The keys of one case, and its ssh_config."""

    path: Path
    authority: Path

    @property
    def key(self) -> Path:
        return self.path / "key"

    def make(self, kind: str = "ed25519", name: str = "key", phrase: str = "") -> Path:
        """Make a key."""
        key = self.path / name
        run("ssh-keygen", "-q", *KINDS[kind], "-N", phrase, "-C", name, "-f", key)
        return key

    def certify(self, key: Path, *options: str, user: str = "mlcube") -> Path:
        """Make a certificate of a key."""
        public = key.with_name(key.name + ".pub")
        run("ssh-keygen", "-q", "-s", self.authority, "-I", "id", "-n", user, *options, public)
        return key.with_name(key.name + "-cert.pub")

    def add_to_agent(self, key: Path, *options: str) -> None:
        run("ssh-add", "-q", *options, key, env={**os.environ, "SSH_ASKPASS_REQUIRE": "never"})


Arrange = Callable[[Folder], str]
"""Makes the files of a case; returns lines of ssh_config."""


def _plain(kind: str) -> Arrange:
    def arrange(folder: Folder) -> str:
        folder.make(kind)
        return ""

    return arrange


def _with_file(name: str, content: bytes | None) -> Arrange:
    """Damage a file beside a good key: new content, or no permission to read it."""

    def arrange(folder: Folder) -> str:
        folder.certify(folder.make())
        file = folder.path / name
        if content is None:
            file.unlink()
            file.mkdir()
        else:
            file.write_bytes(content)
        return ""

    return arrange


def _agent_only(*options: str) -> Arrange:
    def arrange(folder: Folder) -> str:
        folder.add_to_agent(folder.make())
        folder.key.unlink()
        return "".join(f"  {option}\n" for option in options)

    return arrange


def _many_keys(position: int) -> Arrange:
    """Offer several keys; only one of them is good."""

    def arrange(folder: Folder) -> str:
        lines = []
        for number in range(5):
            name = "key" if number == position else f"other{number}"
            lines.append(f"  IdentityFile {folder.make(name=name)}\n")
        return "".join(lines)

    return arrange


def _certificate(*options: str, user: str = "mlcube") -> Arrange:
    def arrange(folder: Folder) -> str:
        folder.certify(folder.make(), *options, user=user)
        return ""

    return arrange


def _certificate_in_agent(folder: Folder) -> str:
    folder.certify(folder.make())
    folder.add_to_agent(folder.key)
    return ""


def _only_the_certificate_in_the_agent(folder: Folder) -> str:
    _certificate_in_agent(folder)
    for name in ("key", "key-cert.pub"):
        (folder.path / name).unlink()
    return ""


def _certificate_file_and_key_in_agent(folder: Folder) -> str:
    folder.add_to_agent(folder.make())
    folder.certify(folder.key)
    folder.key.unlink()
    return ""


def _foreign_certificate(folder: Folder) -> str:
    folder.make()
    other = folder.certify(folder.make(name="other"))
    shutil.copy(other, folder.path / "key-cert.pub")
    return ""


def _certificate_of_another_kind(folder: Folder) -> str:
    folder.make()
    other = folder.certify(folder.make("rsa", name="other"))
    shutil.copy(other, folder.path / "key-cert.pub")
    return ""


def _certificate_option(folder: Folder) -> str:
    certificate = folder.certify(folder.make())
    certificate.rename(folder.path / "elsewhere.pub")
    return f"  CertificateFile {folder.path}/elsewhere.pub\n"


def _encrypted(folder: Folder) -> str:
    folder.make(phrase="secret")
    return ""


def _encrypted_next_to_a_plain_one(folder: Folder) -> str:
    folder.make(name="other", phrase="secret")
    folder.make()
    return f"  IdentityFile {folder.path}/other\n  IdentityFile {folder.key}\n"


def _mode(mode: int) -> Arrange:
    def arrange(folder: Folder) -> str:
        folder.make().chmod(mode)
        return ""

    return arrange


def _rewritten(change: Callable[[bytes], bytes]) -> Arrange:
    """Change the private key's file, without its public part beside it."""

    def arrange(folder: Folder) -> str:
        key = folder.make()
        key.write_bytes(change(key.read_bytes()))
        return ""

    return arrange


def _linked(folder: Folder) -> str:
    folder.make().rename(folder.path / "elsewhere")
    folder.key.symlink_to("elsewhere")
    return ""


def _spaces(folder: Folder) -> str:
    folder.make().rename(folder.path / "my key")
    return f'  IdentityFile "{folder.path}/my key"\n'


def _public_key_as_identity(folder: Folder) -> str:
    folder.add_to_agent(folder.make())
    folder.key.unlink()
    return f"  IdentityFile {folder.path}/key.pub\n  IdentitiesOnly yes\n"


def _option(*lines: str) -> Arrange:
    def arrange(folder: Folder) -> str:
        folder.make()
        return "".join(f"  {line}\n" for line in lines)

    return arrange


_DAMAGED = {
    "empty": b"",
    "garbage": b"garbage\n",
    "one word": b"ssh-ed25519-cert-v01@openssh.com\n",
    "not base64": b"ssh-ed25519-cert-v01@openssh.com ***\n",
    "truncated": b"ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9w\n",
    "not UTF-8": b"\xff\xfe\x00",
    "a plain key": b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEq0Z0wqmRQnWwIS0DDIkHbH\n",
    "a directory": None,
}

CASES: dict[str, Arrange] = {
    **{f"{kind} key": _plain(kind) for kind in KINDS},
    "valid certificate": _certificate(),
    "expired certificate": _certificate("-V", "20200101:20210101"),
    "future certificate": _certificate("-V", "20400101:20410101"),
    "certificate for another user": _certificate(user="someone"),
    "certificate of another key": _foreign_certificate,
    "certificate of another kind of key": _certificate_of_another_kind,
    "certificate with an unknown critical option": _certificate("-O", "critical:unknown=1"),
    "certificate in the agent": _certificate_in_agent,
    "only the certificate in the agent": _only_the_certificate_in_the_agent,
    "certificate in a file and key in the agent": _certificate_file_and_key_in_agent,
    "CertificateFile": _certificate_option,
    **{
        f"damaged certificate: {name}": _with_file("key-cert.pub", text)
        for name, text in _DAMAGED.items()
    },
    **{
        f"damaged public key: {name}": _with_file("key.pub", text)
        for name, text in _DAMAGED.items()
        if text is not None
    },
    "encrypted key": _encrypted,
    "encrypted key beside a good one": _encrypted_next_to_a_plain_one,
    **{f"mode {mode:o}": _mode(mode) for mode in (0o400, 0o600, 0o640, 0o644, 0o604)},
    "a link to the key": _linked,
    "a path with spaces": _spaces,
    "key without its last line": _rewritten(lambda text: text.rsplit(b"-----END", 1)[0]),
    "key with Windows line ends": _rewritten(lambda text: text.replace(b"\n", b"\r\n")),
    "key with text before it": _rewritten(lambda text: b"a comment\n" + text),
    "half a key": _rewritten(lambda text: text[: len(text) // 2]),
    "empty key": _rewritten(lambda _: b""),
    "key of random bytes": _rewritten(lambda _: bytes(range(256)) * 4),
    **{f"good key at position {position}": _many_keys(position) for position in range(5)},
    "agent": _agent_only(),
    "agent and IdentitiesOnly": _agent_only("IdentitiesOnly yes", "IdentityFile {folder}/key"),
    "agent and IdentitiesOnly without a file": _agent_only("IdentitiesOnly yes"),
    "IdentityAgent none": _agent_only("IdentityAgent none"),
    "IdentityAgent of the environment": _agent_only("IdentityAgent SSH_AUTH_SOCK"),
    "IdentityAgent $SSH_AUTH_SOCK": _agent_only("IdentityAgent $SSH_AUTH_SOCK"),
    "public key as identity": _public_key_as_identity,
    "no public key methods": _option("PubkeyAuthentication no"),
    "only other algorithms": _option("PubkeyAcceptedAlgorithms rsa-sha2-512"),
    "user of ssh_config": _option("User no-such-user"),
    "ciphers that only OpenSSH has": _option("Ciphers chacha20-poly1305@openssh.com"),
    "one cipher of both": _option("Ciphers aes256-ctr"),
    "one MAC of both": _option("Ciphers aes128-ctr", "MACs hmac-sha2-512"),
    "key exchange of both": _option("KexAlgorithms ecdh-sha2-nistp256"),
    "missing identity file": _option("IdentityFile {folder}/missing"),
    "StrictHostKeyChecking accept-new": _option("StrictHostKeyChecking accept-new"),
}
"""Name → what makes its files."""
