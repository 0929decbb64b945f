# SPDX-License-Identifier: Apache-2.0
"""Where and how to connect: what the inventory and ssh_config say together."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Endpoint:
    """One SSH server, everything about it decided."""

    hostname: str
    """Name or address to connect to."""
    port: int
    user: str
    identity_files: tuple[str, ...] = ()
    """Private keys to offer, absolute paths, in order."""
    identities_only: bool = False
    """Whether the agent may offer only keys of :attr:`identity_files`."""
    identity_agent: str | None = None
    """The agent's socket; ``None``: ``$SSH_AUTH_SOCK``; ``none``: no agent."""
    proxy_jump: tuple[Endpoint, ...] = ()
    """Servers to go through, in order."""
    proxy_command: str | None = None
    """Shell text whose standard streams lead to the server, tokens expanded."""
    user_known_hosts_files: tuple[str, ...]
    """Absolute paths; the first is where new keys are written."""
    global_known_hosts_files: tuple[str, ...] = ()
    host_key_alias: str | None = None
    """The name that the server's key is looked up by, instead of its own."""
    connect_timeout: float = 10.0
    """Seconds for each step of connecting."""
