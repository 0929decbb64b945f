# SPDX-License-Identifier: Apache-2.0
"""An inventory as frozen values: hosts and groups."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from mlcube_remote.secret import Secret

TRUST_SETTING = "`host_keys: accept-new` under `defaults:` in hosts.yaml"
"""How the user sets in hosts.yaml that new host keys are trusted."""

NOTHING: Mapping[str, Any] = MappingProxyType({})


class HostKeys(Enum):
    """Whether to add a host key that is not in known_hosts; a changed key is always refused."""

    STRICT = "strict"
    ACCEPT_NEW = "accept-new"


class TransportKind(Enum):
    """Which SSH implementation connects to a host."""

    AUTO = "auto"
    """Paramiko if it can do what ssh_config says, otherwise OpenSSH."""
    PARAMIKO = "paramiko"
    OPENSSH = "openssh"


class ConnectionKind(Enum):
    """How to connect to a host."""

    SSH = "ssh"
    LOCAL = "local"


class Launcher(Enum):
    """What starts the tasks on a host."""

    SETSID = "setsid"
    """The host itself, at once."""
    SLURM = "slurm"
    """Slurm, on a compute node, when one is free; the host is the login node."""


@attrs.frozen(kw_only=True)
class Host:
    """One machine. ``None`` means "not set": ssh_config decides, then the default."""

    name: str
    """The name in the inventory, on the command line and in the output."""
    typed: str | None = None
    """``user@host:port`` as typed, if that is not :attr:`name`; it selects the host again."""
    address: str | None = None
    """DNS name or IP address; ``None``: the address that ``ssh -G`` prints for ``name``."""
    port: int | None = None
    user: str | None = None
    identity_file: tuple[str, ...] = ()
    """Private keys to offer, ``~`` not expanded; if there are any, the agent offers only these."""
    known_hosts: str | None = None
    """A known_hosts file for this host only, instead of ssh_config's."""
    jump: str | None = None
    """Jump hosts: ``[user@]host[:port]`` or inventory names, comma-separated.

    ``none``: connect directly, even if ssh_config has jump hosts.
    """
    host_keys: HostKeys | None = None
    transport: TransportKind = TransportKind.AUTO
    connect_timeout: float = 10.0
    """Seconds for each of TCP connect, banner, key exchange and login."""
    keepalive: float = 15.0
    """Seconds between keepalives; the connection ends after three without an answer."""
    min_rate: float = 256.0
    """Bytes per second that a transfer must reach, averaged over ten minutes; 0: no limit."""
    remote_root: str = "~/.mlcube-remote"
    """Directory of cubes and jobs on the host: absolute, or starting with ``~/``."""
    platform: str | None = None
    """``docker``, ``podman``, ``singularity`` or ``apptainer``; ``None``: the cube decides."""
    connection: ConnectionKind = ConnectionKind.SSH
    launcher: Launcher = Launcher.SETSID
    slurm: Mapping[str, Any] = NOTHING
    """What jobs ask Slurm for; the keys are in :mod:`mlcube_remote.inventory.slurm`."""
    copy_links: bool = False
    """Whether to send what links in inputs lead to."""
    image_source: str | None = None
    """The host that builds or pulls the image for this one; ``None``: the host does it itself."""
    slots: int = 1
    """Maximum number of jobs of one sweep at the same time."""
    gpus: tuple[str, ...] | None = None
    """Numbers or UUIDs of the GPUs that jobs may lease; ``None``: all that the host reports."""
    labels: Mapping[str, str] = NOTHING
    env: Mapping[str, Secret | None] = NOTHING
    """Variables of the container; ``None``: the variable's value on this machine at job start."""
    settings: Mapping[str, Mapping[str, Any]] = NOTHING
    """Platform settings by section (``docker``, ``singularity``), with MLCube's keys."""
    source: str | None = None
    """Position of the host's definition, such as ``hosts.yaml:12:3``, for messages."""

    @property
    def is_local(self) -> bool:
        """Whether jobs run on this machine, in the cube's own directory."""
        return self.connection is ConnectionKind.LOCAL


LOCAL_HOST = Host(name="local", connection=ConnectionKind.LOCAL)
"""This machine, a host of every inventory."""


@attrs.frozen(kw_only=True)
class Inventory:
    """All hosts and groups of one ``hosts.yaml``, with ranges expanded and defaults applied."""

    hosts: Mapping[str, Host]
    """Hosts by name, in the order of the file; ``local`` is always one of them."""
    groups: Mapping[str, tuple[str, ...]]
    """Group name → host names in order, nested groups resolved, without duplicates."""
    path: Path | None = None
    """The file; ``None`` if there is no inventory."""
    cube: Path | None = None
    """Directory of the cube that the file is part of; ``None``: the file is the user's own."""
    defaults: Host = LOCAL_HOST
    """``defaults:`` as a host; hosts that are only in ssh_config start from it."""
    trust_setting: str = TRUST_SETTING
    """How the user sets in this inventory that new host keys are trusted, for hints."""
    jump_keys: Mapping[str, str] = NOTHING
    """Jump host, as ``jump`` of a host names it → file with the private key for it."""
    notes: tuple[str, ...] = ()
    """What of another program's inventory was not used, one line each."""
