# SPDX-License-Identifier: Apache-2.0
"""Every path of one sandbox on this machine, and the inventory that lists its hosts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import attrs
import yaml

from mlcube_remote.sandbox.flavours import named

GROUP = "sandbox"
USER = "mlcube"

_HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# Written by "mlcube-remote sandbox up"; gone with "mlcube-remote sandbox down".
"""


@attrs.frozen(kw_only=True)
class SandboxHost:
    """One host of a sandbox that runs."""

    name: str
    flavour: str
    port: int
    """Where its SSH server is published on 127.0.0.1."""
    home: Path
    """The user's home, by the same path here and there (a tiny disk's is the engine's own)."""


@attrs.frozen(kw_only=True)
class Sandbox:
    """A sandbox as it is now."""

    id: str
    """What its containers carry as label."""
    inventory: Path
    """The ``hosts.yaml`` to hand to ``--inventory``; it is there while there are hosts."""
    hosts: tuple[SandboxHost, ...]


@attrs.frozen
class Place:
    """Where a sandbox keeps its files."""

    root: Path

    @property
    def id(self) -> str:
        """Eight digits that stay the same for this place and this user."""
        return hashlib.sha256(f"{os.getuid()}:{self.root}".encode()).hexdigest()[:8]

    @property
    def inventory(self) -> Path:
        """The inventory of the hosts that run."""
        return self.root / "hosts.yaml"

    @property
    def known_hosts(self) -> Path:
        """The keys by which these hosts, and no others, are known."""
        return self.root / "known_hosts"

    @property
    def identity(self) -> Path:
        """The private key that opens the hosts."""
        return self.root / "id_ed25519"

    @property
    def lock(self) -> Path:
        """Held while hosts are started or removed."""
        return self.root / "lock"

    @property
    def hosts(self) -> Path:
        """The folder with one folder for each host."""
        return self.root / "hosts"

    def keys(self, host: str) -> Path:
        """The folder with the host's keys, which the host can read."""
        return self.hosts / host / "keys"

    def home(self, host: str) -> Path:
        """The home of the user on the host."""
        return self.hosts / host / "home"


def default_place() -> Place:
    """Return the place of this user's sandbox, below ``$XDG_STATE_HOME``."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Place(Path(state) / "mlcube-remote" / "sandbox")


def write_inventory(place: Place, hosts: Iterable[SandboxHost]) -> None:
    """Write the inventory of *hosts*; whoever reads it meanwhile sees the old or the new one.

    Raises:
        SandboxError: A host is of a kind that there is not.
    """
    listed = {
        host.name: {
            "address": "127.0.0.1",
            "port": host.port,
            "user": USER,
            "identity_file": str(place.identity),
            "known_hosts": str(place.known_hosts),
            "remote_root": str(host.home / ".mlcube-remote"),
            "platform": named(host.flavour).engine.platform,
        }
        for host in hosts
    }
    document = {"hosts": listed, "groups": {GROUP: list(listed)}}
    write_whole(place.inventory, _HEADER + yaml.safe_dump(document, sort_keys=False))


def write_whole(path: Path, text: str) -> None:
    """Write *text* to *path* by write-then-rename."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(text)
    unfinished.replace(path)
