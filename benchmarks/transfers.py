# SPDX-License-Identifier: Apache-2.0
"""Transfers between this machine and one sandbox host: ours, and rsync over ssh."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import attrs
import yaml

from mlcube_remote.app.inventory import open_inventory
from mlcube_remote.app.logins import Logins
from mlcube_remote.app.options import Credentials
from mlcube_remote.files.download import download
from mlcube_remote.files.transfer import upload
from mlcube_remote.files.upload import UploadTree
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest
from mlcube_remote.sandbox import SandboxHost, down, up
from mlcube_remote.transport.base import Connection
from mlcube_remote.trust.requests import FULL_TRUST

ADDRESS = "mlcube@127.0.0.1"
FOLDER = "bench"
"""Directory for the data on the host."""


@attrs.frozen(kw_only=True)
class Peer:
    """A sandbox host, and how to reach it."""

    host: SandboxHost
    state: Path

    @property
    def ssh(self) -> list[str]:
        """The words of an ssh command, without the address."""
        options = ["-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={self.state / 'known_hosts'}"]
        return ["ssh", "-p", str(self.host.port), "-i", str(self.state / "id_ed25519"), *options]

    def run(self, script: str) -> None:
        """Run a script on the host."""
        subprocess.run([*self.ssh, ADDRESS, "sh -es"], input=script.encode(), check=True)

    def rsync(self, source: str, target: str) -> None:
        """Copy with rsync over ssh; a path that starts with ":" is on the host."""
        paths = [f"{ADDRESS}{path}" if path.startswith(":") else path for path in (source, target)]
        subprocess.run(["rsync", "-a", "-e", " ".join(self.ssh), *paths], check=True)

    def pull(self, copy: Path, name: str = "out") -> None:
        """Pull an output as a run does: checked, compared with the host's checksums, renamed."""
        output = DownloadRequest(task="bench", name=name, path=name, directory=True)
        folder = DownloadFolder(remote=FOLDER, target=copy, basis=None, outputs=(output,))
        with self._connected() as connection:
            download(connection, folder, run="bench")

    def push(self, source: Path, remote: str) -> None:
        """Upload a directory as a run does."""
        with self._connected() as connection:
            upload(connection, UploadTree(local=source, remote=remote, mirror=True))

    def with_transport(self, transport: str) -> Peer:
        """Return the same host, reached by this transport."""
        state = self.state / transport
        shutil.copytree(self.state, state, ignore=shutil.ignore_patterns("paramiko", "openssh"))
        inventory = yaml.safe_load((state / "hosts.yaml").read_text())
        inventory["hosts"][self.host.name]["transport"] = transport
        (state / "hosts.yaml").write_text(yaml.safe_dump(inventory))
        return attrs.evolve(self, state=state)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        inventory = open_inventory(str(self.state / "hosts.yaml"), None, trust=FULL_TRUST)
        logins = Logins(inventory=inventory, credentials=Credentials())
        with closing(logins.connect(inventory.hosts[self.host.name])) as connection:
            yield connection


@contextmanager
def sandbox_peer() -> Iterator[Peer]:
    """Start a sandbox of one host."""
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-bench-") as temporary:
        state = Path(temporary) / "sandbox"
        sandbox = up(1, state_dir=state)
        try:
            yield Peer(host=sandbox.hosts[0], state=state)
        finally:
            down(state_dir=state)


def time_in_turn(
    contenders: Mapping[str, Callable[[], object]], before_each: Callable[[], object], rounds: int
) -> dict[str, float]:
    """Return the median of the seconds that each contender takes; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, copy in contenders.items():
            before_each()
            os.sync()
            start = time.monotonic()
            copy()
            taken[name].append(time.monotonic() - start)
    return {name: round(statistics.median(seconds), 2) for name, seconds in taken.items()}
