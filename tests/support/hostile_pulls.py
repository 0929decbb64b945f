# SPDX-License-Identifier: Apache-2.0
"""Pulls from a real host whose rsync and sha256sum are replaced by programs that attack."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from mlcube_remote.files.download import DownloadResult, download, received_bytes
from mlcube_remote.inventory.load import load
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest
from mlcube_remote.transport import connect
from mlcube_remote.transport.reconnecting import ReconnectingConnection

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

STAGING = "/.mlcube-remote-pull-"
RUN = "251128-100000-" + "a" * 16


@attrs.frozen(kw_only=True)
class Attack:
    """A host, what it sends, and the directories here that it must not change."""

    host: SshHost
    there: Path
    """The directory on the host that the outputs are in."""
    home: Path
    """The user's home on this machine."""

    @property
    def workspace(self) -> Path:
        return self.home / "cube" / "workspace"

    def make(self, script: str) -> None:
        """Run a script on the host, in the directory of the outputs, as the host's user."""
        text = f"cd '{self.there}' && {{ {script}\n}}"
        done = self.host.exec(["su", "mlcube", "-s", "/bin/sh", "-c", text])
        assert done.exit_code == 0, done.output

    def install(self, name: str, script: str) -> None:
        """Put a program before the host's own."""
        text = f"cat >/usr/local/bin/{name} <<'END'\n#!/bin/sh\n{script}\nEND\n"
        self.host.exec(["sh", "-c", f"{text}chmod 755 /usr/local/bin/{name}"])

    def sum_instead(self, script: str) -> None:
        """Let the host run a script instead of the program that computes checksums."""
        self.install("openssl", "exit 1")  # it would be asked first
        self.install("sha256sum", script)

    def send_instead(self, script: str) -> None:
        """Let the host's rsync run a script instead of sending."""
        self.install(
            "rsync",
            f'case "$*" in *--sender*) cd "{self.there}" || exit 1\n{script}\n;; esac\n'
            'exec /usr/bin/rsync "$@"',
        )

    def pull(self, *outputs: str, min_rate: float = 256.0) -> DownloadResult:
        inventory = load(self.host.inventory)
        host = attrs.evolve(inventory.hosts[self.host.name], min_rate=min_rate)
        folder = DownloadFolder(
            remote=str(self.there),
            target=self.workspace,
            basis=self.workspace,
            outputs=tuple(
                DownloadRequest(
                    task="t", name=path, path=path.rstrip("/"), directory=path.endswith("/")
                )
                for path in outputs or ("out/",)
            ),
            anchor=self.home / "cube",
        )
        with contextlib.closing(connect(host, inventory)) as connection:
            reconnecting = ReconnectingConnection(
                current=connection, dial=lambda: connect(host, inventory), timeout=5.0
            )
            return reconnecting.retrying(
                lambda at: download(at, folder, run=RUN),
                transferred=lambda: received_bytes(host.name, folder, RUN),
            )

    def outside(self) -> dict[str, str]:
        """Return (path, digest) of all files here but the output ``out``.

        A pull that failed may be continued, so what it received may stay in its own directory.
        """
        skipped = self.workspace / "out"
        return {
            path: text
            for path, text in digests(self.home).items()
            if not Path(path).is_relative_to(skipped) and STAGING not in path
        }


def digests(top: Path) -> dict[str, str]:
    """Return the mode and content of each entry below a directory."""
    found = {}
    for folder, directories, files, opened in os.fwalk(top, follow_symlinks=False):
        for name in [*directories, *files]:
            about = os.lstat(name, dir_fd=opened)
            content = b""
            if stat.S_ISLNK(about.st_mode):
                content = os.fsencode(os.readlink(name, dir_fd=opened))
            elif stat.S_ISREG(about.st_mode):
                with open(name, "rb", opener=partial(os.open, dir_fd=opened)) as file:
                    content = file.read()
            text = f"{about.st_mode:o} {hashlib.sha256(content).hexdigest()}"
            found[os.path.join(folder, name)] = text
    return found


@pytest.fixture(scope="module")
def private_host(ssh_host: HostFactory) -> SshHost:
    return ssh_host(private=True)


@pytest.fixture
def attack(
    private_host: SshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Attack]:
    home = tmp_path / "home"
    for name in (".bashrc", ".ssh/authorized_keys", "cube/mlcube.yaml", "cube/workspace/notes"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"mine: {name}\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    there = private_host.home / f"there-{tmp_path.name}"
    private_host.exec(["su", "mlcube", "-s", "/bin/sh", "-c", f"mkdir -p '{there}/out'"])
    yield Attack(host=private_host, there=there, home=home)
    # A program that never ends, or the shell that reads it, would use a processor until the last
    # test.
    private_host.exec(["pkill", "-KILL", "-u", "mlcube"])
    programs = " ".join(f"/usr/local/bin/{name}" for name in ("rsync", "openssl", "sha256sum"))
    private_host.exec(["sh", "-c", f"rm -rf {programs} {there}"])
