# SPDX-License-Identifier: Apache-2.0
"""What an inventory says: hosts and groups, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from mlcube_remote.secret import Secret

NOTHING: Mapping[str, Any] = MappingProxyType({})


class HostKeys(Enum):
    """What to do with a host key that known_hosts lacks; a changed one is always refused."""

    STRICT = "strict"
    ACCEPT_NEW = "accept-new"


class ConnectionKind(Enum):
    """How a host is reached."""

    SSH = "ssh"
    LOCAL = "local"


@attrs.frozen(kw_only=True)
class Host:
    """One machine. ``None`` means "not said": ssh_config, then the default, decides."""

    name: str
    """Inventory name, which the user types and the output shows."""
    address: str | None = None
    """DNS name or IP address to connect to; ``None`` asks ``ssh -G`` for ``name``."""
    port: int | None = None
    user: str | None = None
    identity_file: tuple[str, ...] = ()
    """Private keys to offer, ``~`` not yet expanded; with any, the agent offers only these."""
    known_hosts: str | None = None
    """A known_hosts file for this host alone, instead of ssh_config's."""
    jump: str | None = None
    """``[user@]host[:port]``, comma-separated for several hops; a hop may be an inventory host.
    ``none``: directly, whatever ssh_config says."""
    host_keys: HostKeys = HostKeys.STRICT
    connect_timeout: float = 10.0
    """Seconds for TCP connect, banner, key exchange and login, each."""
    keepalive: float = 15.0
    """Seconds between keepalives; three without an answer end the connection."""
    remote_root: str = "~/.mlcube-remote"
    """Where cubes and jobs live on the host: absolute, or below ``~/``."""
    platform: str | None = None
    """``docker``, ``podman``, ``singularity`` or ``apptainer``; ``None`` lets the cube decide."""
    connection: ConnectionKind = ConnectionKind.SSH
    slots: int = 1
    """Jobs of one sweep that it takes at once."""
    gpus: tuple[str, ...] | None = None
    """Numbers or UUIDs of the GPUs that jobs may lease; ``None``: all that the host tells of."""
    labels: Mapping[str, str] = NOTHING
    env: Mapping[str, Secret | None] = NOTHING
    """Variables handed to the container by name; ``None`` takes the value from this machine's
    environment when the job starts."""
    settings: Mapping[str, Mapping[str, Any]] = NOTHING
    """Platform settings by section (``docker``, ``singularity``), MLCube's keys."""
    source: str | None = None
    """``hosts.yaml:12`` where the host is defined, for messages."""

    @property
    def is_local(self) -> bool:
        """Whether jobs run on this machine, in place."""
        return self.connection is ConnectionKind.LOCAL


LOCAL_HOST = Host(name="local", connection=ConnectionKind.LOCAL)
"""The host that always exists."""


@attrs.frozen(kw_only=True)
class Inventory:
    """All hosts and groups of one ``hosts.yaml``, ranges expanded, defaults applied."""

    hosts: Mapping[str, Host]
    """By name, in the order of the file; always holds ``local``."""
    groups: Mapping[str, tuple[str, ...]]
    """Group name → host names, nested groups resolved, in order, without duplicates."""
    path: Path | None = None
    """The file, or ``None`` when there is none."""
    defaults: Host = LOCAL_HOST
    """``defaults:`` as a host, the base of hosts that only ssh_config knows."""
