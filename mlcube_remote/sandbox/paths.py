# SPDX-License-Identifier: Apache-2.0
"""The files of one sandbox on this machine: their paths, its inventory and its known_hosts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import attrs
import yaml

from mlcube_remote.directories import state_home
from mlcube_remote.runs.atomic import write_atomically
from mlcube_remote.sandbox.flavours import get_flavour

GROUP = "sandbox"
USER = "mlcube"

_HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# Written by "mlcube-remote sandbox up", deleted by "mlcube-remote sandbox down".
"""


@attrs.frozen(kw_only=True)
class SandboxHost:
    """A running host of a sandbox."""

    name: str
    flavour: str
    port: int
    """Port of its SSH server on 127.0.0.1."""
    home: Path
    """The user's home, at the same path on the host and for the engine."""


@attrs.frozen(kw_only=True)
class Sandbox:
    """The current state of a sandbox."""

    id: str
    """The label of its containers."""
    inventory: Path
    """The ``hosts.yaml`` for ``--inventory``; it exists while there are hosts."""
    hosts: tuple[SandboxHost, ...]


@attrs.frozen
class SandboxPaths:
    """Paths of a sandbox's files."""

    root: Path

    @property
    def id(self) -> str:
        """Eight digits that depend only on this folder and this user."""
        return hashlib.sha256(f"{os.getuid()}:{self.root}".encode()).hexdigest()[:8]

    @property
    def inventory(self) -> Path:
        """The inventory of the running hosts."""
        return self.root / "hosts.yaml"

    @property
    def known_hosts(self) -> Path:
        """The host keys of these hosts only."""
        return self.root / "known_hosts"

    @property
    def identity(self) -> Path:
        """The private key for the login to all hosts."""
        return self.root / "id_ed25519"

    @property
    def lock(self) -> Path:
        """The lock that a process holds while it starts or removes hosts."""
        return self.root / "lock"

    @property
    def hosts(self) -> Path:
        """The folder with one folder per host."""
        return self.root / "hosts"

    def keys(self, host: str) -> Path:
        """Return the folder with the host's keys, which the host can read."""
        return self.hosts / host / "keys"

    def home(self, host: str) -> Path:
        """Return the home of the user on the host."""
        return self.hosts / host / "home"


def default_paths() -> SandboxPaths:
    """Return the paths of this user's sandbox, below ``$XDG_STATE_HOME``."""
    return SandboxPaths(state_home() / "sandbox")


def write_inventory(paths: SandboxPaths, hosts: Iterable[SandboxHost]) -> None:
    """Write the inventory of *hosts*; a reader sees the old file or the new one.

    Raises:
        SandboxError: The flavour of a host does not exist.
    """
    entries = {
        host.name: {
            "address": "127.0.0.1",
            "port": host.port,
            "user": USER,
            "identity_file": str(paths.identity),
            "known_hosts": str(paths.known_hosts),
            "remote_root": str(host.home / ".mlcube-remote"),
            "platform": get_flavour(host.flavour).engine.platform,
            **({"launcher": "slurm"} if get_flavour(host.flavour).is_cluster else {}),
        }
        for host in hosts
    }
    document = {"hosts": entries, "groups": {GROUP: list(entries)}}
    text = _HEADER + yaml.safe_dump(document, sort_keys=False)
    write_atomically(paths.inventory, text)


def write_known_hosts(paths: SandboxPaths, lines: Iterable[str]) -> None:
    """Write the lines of known_hosts; a reader sees the old file or the new one."""
    write_atomically(paths.known_hosts, "".join(f"{line}\n" for line in lines))
