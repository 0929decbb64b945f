# SPDX-License-Identifier: Apache-2.0
"""Keys for logins to a server of a test, and logins that it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlcube_remote.errors import AuthenticationError
from mlcube_remote.inventory.model import HostKeys
from mlcube_remote.transport import key_files
from tests.support.ssh_server import Lab, SSHServer

ANY = HostKeys.ACCEPT_NEW


def make_key(path: Path, *options: str, passphrase: str = "") -> bytes:
    """Make a key with ssh-keygen; return its public part."""
    subprocess.run(
        ["ssh-keygen", "-q", "-N", passphrase, "-f", str(path), "-C", "test", *options], check=True
    )
    public = path.with_name(path.name + ".pub")
    blob = key_files.read_public(public)
    assert blob is not None
    return blob


def refusal_of(lab: Lab, server: SSHServer, **more: object) -> AuthenticationError:
    """Return the error of a login that the server refuses."""
    with pytest.raises(AuthenticationError) as caught:
        lab.log_in(server, ANY, **more)
    assert caught.value.exit_code == 120
    return caught.value
