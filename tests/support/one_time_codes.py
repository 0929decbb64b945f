# SPDX-License-Identifier: Apache-2.0
"""A real host that asks for a password and a one-time code: sshd with PAM."""

from __future__ import annotations

import hashlib
import hmac
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import yaml

from tests.support.pty_command import PtyCommand

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

PROGRAM = (sys.executable, "-m", "mlcube_remote")
PASSWORD = "hunter2 $x"
_SECRET = b"12345678901234567890"
_SETUP = f"""
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends libpam-oath >/dev/null 2>&1
printf 'HOTP mlcube - {_SECRET.hex()}\\n' >/etc/users.oath
chmod 600 /etc/users.oath
printf '%s\\n' 'auth required pam_unix.so' \
    'auth required pam_oath.so usersfile=/etc/users.oath window=20 digits=6' \
    'account required pam_permit.so' 'session required pam_permit.so' >/etc/pam.d/sshd
echo 'mlcube:{PASSWORD}' | chpasswd
"""


@attrs.define
class CodeHost:
    """The host, and its user's token."""

    host: SshHost
    state: Path
    """A state directory whose path is short enough for sockets."""
    _counter: int = attrs.field(default=0, init=False)

    @property
    def env(self) -> Mapping[str, str]:
        return {"XDG_STATE_HOME": str(self.state)}

    def next_code(self) -> str:
        """Return the next code (RFC 4226); none is accepted twice."""
        digest = hmac.digest(_SECRET, struct.pack(">Q", self._counter), hashlib.sha1)
        self._counter += 1
        offset = digest[-1] & 15
        number = int(struct.unpack_from(">I", digest, offset)[0]) & 0x7FFFFFFF
        return f"{number % 1_000_000:06d}"

    def inventory(self, folder: Path, **more: object) -> Path:
        """Write an inventory with this host."""
        document = yaml.safe_load(self.host.inventory.read_text())
        document["hosts"][self.host.name] |= more
        path = folder / "hosts.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def answer(self, command: PtyCommand) -> None:
        """Type the password and a code."""
        command.expect(b"Password: ")
        command.type(f"{PASSWORD}\r")
        command.expect(b"One-time password")
        command.expect(b": ")
        command.type(f"{self.next_code()}\r")


@pytest.fixture(scope="session")
def code_host(ssh_host: HostFactory) -> Iterator[CodeHost]:
    """Start the host; it is the same for the whole session."""
    host = ssh_host(
        UsePAM="yes",
        KbdInteractiveAuthentication="yes",
        AuthenticationMethods="keyboard-interactive",
    )
    done = host.exec(["sh", "-ec", _SETUP])
    assert done.exit_code == 0, done.output
    state = Path(tempfile.mkdtemp(prefix="mlcr-"))
    yield CodeHost(host, state)
    shutil.rmtree(state)
