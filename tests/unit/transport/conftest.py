# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.support.ssh_server import Lab, Serve, Session, SSHServer


def _ed25519(path: Path) -> paramiko.PKey:
    private = ed25519.Ed25519PrivateKey.generate()
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    return paramiko.Ed25519Key.from_private_key_file(str(path))


@pytest.fixture(scope="session")
def host_keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, paramiko.PKey]:
    """Return one key of each kind, and another one of the first kind."""
    folder = tmp_path_factory.mktemp("host-keys")
    return {
        "ed25519": _ed25519(folder / "ed25519"),
        "other": _ed25519(folder / "other"),
        "ecdsa": paramiko.ECDSAKey.generate(),
        "rsa": paramiko.RSAKey.generate(2048),
    }


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path, _ed25519(tmp_path / "id_client"))


@pytest.fixture
def serve(host_keys: dict[str, paramiko.PKey]) -> Iterator[Serve]:
    """Return a function that starts servers; they end with the test."""
    with contextlib.ExitStack() as stack:

        def start(session: Session | None = None, **more: Any) -> SSHServer:
            more.setdefault("keys", [host_keys["ed25519"]])
            server = SSHServer(session=session, **more)
            stack.callback(server.close)
            return server

        yield start
