# SPDX-License-Identifier: Apache-2.0
"""SSH keys of a sandbox, lines of its known_hosts, and waiting for its SSH servers."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

from mlcube_remote.directories import PRIVATE_FILE, make_private_directory
from mlcube_remote.sandbox.engine import SandboxError, engine_hint

GREETING_TIMEOUT_S = 30.0
"""Time limit for a new host's SSH server to answer."""

_POLL_INTERVAL_S = 0.02


def ensure_key(path: Path) -> str:
    """Return the public half of the ed25519 key at *path*; create the pair if it is missing.

    Raises:
        SandboxError: ``ssh-keygen`` is not installed, or failed.
    """
    public = path.with_name(path.name + ".pub")
    if not (path.exists() and public.exists()):
        make_private_directory(path.parent)
        path.unlink(missing_ok=True)
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sandbox", "-f", str(path)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise SandboxError("no ssh-keygen program on PATH", hint=engine_hint()) from None
        if done.returncode != 0:
            raise SandboxError(f"ssh-keygen: {done.stderr.strip()}")
        public.chmod(PRIVATE_FILE)
    return public.read_text().strip()


def format_known_hosts_line(port: int, public_key: str) -> str:
    """Return the known_hosts line of the host that is published at *port* of this machine."""
    kind, key, *_comment = public_key.split()
    return f"[127.0.0.1]:{port} {kind} {key}"


def is_greeting(port: int) -> bool:
    """Return whether an SSH server greets at *port* of this machine."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def wait_for_greeting(name: str, port: int) -> None:
    """Wait until an SSH server greets at *port*.

    Raises:
        SandboxError: None did within :data:`GREETING_TIMEOUT_S`.
    """
    deadline = time.monotonic() + GREETING_TIMEOUT_S
    while not is_greeting(port):
        if time.monotonic() > deadline:
            raise SandboxError(
                f"{name}: no SSH server at 127.0.0.1:{port} after {GREETING_TIMEOUT_S:g} s",
                hint="mlcube-remote sandbox down, then sandbox up again",
            )
        time.sleep(_POLL_INTERVAL_S)
