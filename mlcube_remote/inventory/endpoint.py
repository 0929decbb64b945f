# SPDX-License-Identifier: Apache-2.0
"""SSH servers: ``[user@]host[:port]`` as people type it, and the complete settings of one."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from mlcube_remote.inventory.model import TRUST_SETTING, HostKeys

_DESTINATION = re.compile(
    r"(?:(?P<user>[^@]+)@)?(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d{1,5}))?",
    re.ASCII,
)
_SAFE_USER = re.compile(r"[A-Za-z0-9_][\w.\\-]*", re.ASCII)
_SAFE_HOST = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)


@attrs.frozen(kw_only=True)
class Destination:
    """``[user@]host[:port]``, split."""

    host: str
    user: str | None = None
    port: int | None = None


def parse_destination(text: str, *, is_checked: bool = False) -> Destination:
    """Split ``[user@]host[:port]``; an IPv6 address is in brackets.

    Args:
        text: The destination.
        is_checked: Whether ssh has checked the names already. Other names must be safe on a
            command line: they start no option and mean nothing to a shell.

    Raises:
        ValueError: The text has another form, or a name in it is not safe.
    """
    match = _DESTINATION.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 22) < 65536:
        raise ValueError(f"expected [user@]host[:port], got {text!r}")
    user, host, ipv6 = match["user"], match["host"], match["ipv6"]
    is_safe = (user is None or _SAFE_USER.fullmatch(user)) and (
        is_ip_address(ipv6) if ipv6 else _SAFE_HOST.fullmatch(host)
    )
    if not is_checked and not is_safe:
        raise ValueError(f"expected [user@]host[:port], got {text!r}")
    port = int(match["port"]) if match["port"] else None
    return Destination(host=host or ipv6, user=user, port=port)


def is_ip_address(text: str) -> bool:
    """Return whether a text is an IPv4 or IPv6 address, with or without a zone."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return re.fullmatch(r"[0-9A-Za-z.:%_-]+", text) is not None


@attrs.frozen(kw_only=True)
class Endpoint:
    """One SSH server and how to connect to it, from the inventory and ssh_config."""

    hostname: str
    """Name or address to connect to."""
    port: int
    user: str
    identity_files: tuple[str, ...] = ()
    """Private keys to offer, absolute paths, in order."""
    identities_only: bool = False
    """Whether the agent may offer only the keys of :attr:`identity_files`."""
    identity_agent: str | None = None
    """The agent's socket; ``None``: ``$SSH_AUTH_SOCK``; ``none``: no agent."""
    proxy_jump: tuple[Endpoint, ...] = ()
    """Jump hosts, in order."""
    proxy_command: str | None = None
    """Shell command that connects its standard streams to the server, tokens expanded."""
    user_known_hosts_files: tuple[str, ...]
    """Absolute paths; new keys are added to the first that is a regular file or does not exist."""
    global_known_hosts_files: tuple[str, ...] = ()
    host_key_alias: str | None = None
    """The name for looking up the server's key, instead of the server's own."""
    algorithms: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """Option of ssh_config, such as ``ciphers`` → the algorithms that it allows."""
    connect_timeout: float = 10.0
    """Seconds for each step of connecting."""
    host_keys: HostKeys = HostKeys.STRICT
    trust_setting: str = TRUST_SETTING
    """How the user sets in the inventory that new keys are trusted, for hints."""
    is_check_disabled: bool = False
    """Whether ssh_config has ``StrictHostKeyChecking no``, which is not followed."""
    disabled_methods: frozenset[str] = frozenset()
    """Methods of login that ssh_config switches off, such as ``publickey``."""
    alias: str = ""
    """The name for ssh(1), whose settings are in ssh_config."""
    overrides: Mapping[str, str] = MappingProxyType({})
    """The inventory's options for ssh(1), such as ``Port``."""
    features: tuple[str, ...] = ()
    """What ssh_config asks for that only OpenSSH can do, such as ``PKCS11Provider``."""
    may_use_kerberos: bool = False
    """Whether ssh_config allows Kerberos tickets (GSSAPIAuthentication)."""
    control_path: str | None = None
    """The socket of the user's own control master, if ssh_config names one."""
