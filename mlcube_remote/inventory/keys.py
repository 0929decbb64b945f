# SPDX-License-Identifier: Apache-2.0
"""The keys of a host in ``hosts.yaml``, each with its check.

A check takes what YAML read and returns the value that a :class:`Host` holds, or raises
:class:`ValueError` with "expected …, got …".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from mlcube_remote.inventory.model import ConnectionKind, HostKeys
from mlcube_remote.platforms import PLATFORMS
from mlcube_remote.secret import Secret

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""What hosts and groups may be called: safe in file names, labels and on command lines."""

_ADDRESS = re.compile(r"[A-Za-z0-9_.:%-]+")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\$-]*")
_HOP = re.compile(r"(?:[A-Za-z0-9_][\w.\\-]*@)?(?:[A-Za-z0-9_][\w.-]*|\[[0-9A-Fa-f:.]+\])(?::\d+)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

FORBIDDEN: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        ("password", "passphrase", "key_passphrase", "ssh_password", "sudo_password", "secret"),
        "secrets never stand in the file; use an ssh-agent, or --ask-password / --ask-passphrase",
    )
)
"""Keys that people try, and what to do instead."""


def shown(value: Any) -> str:
    """Return a value as a message shows it, with what YAML took it for."""
    kinds = {bool: "a boolean", int: "a number", float: "a number", type(None): "nothing"}
    kind = kinds.get(type(value))
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if kind == "nothing":
        return kind
    return f"{kind} ({value})" if kind else repr(value)


def text(value: Any) -> str:
    """Any text without control characters; numbers and booleans must be quoted."""
    if isinstance(value, bool) or not isinstance(value, str):
        quote = "" if value is None or isinstance(value, (list, Mapping)) else "; put it in quotes"
        raise ValueError(f"expected text, got {shown(value)}{quote}")
    if not value or any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError(f"expected text without control characters, got {value!r}")
    return value


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not pattern.fullmatch(text(value)):
            raise ValueError(f"expected {what}, got {value!r}")
        return str(value)

    return check


def port(value: Any) -> int:
    """A TCP port."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise ValueError(f"expected a port between 1 and 65535, got {shown(value)}")
    return value


def seconds(value: Any) -> float:
    """A positive number of seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 86400:
        raise ValueError(f"expected a number of seconds, got {shown(value)}")
    return float(value)


def keepalive(value: Any) -> float:
    """Seconds between keepalives; 0 switches them off."""
    if value == 0 and not isinstance(value, bool):
        return 0.0
    return seconds(value)


def identity_file(value: Any) -> tuple[str, ...]:
    """One path, or a list of them."""
    values = value if isinstance(value, list) else [value]
    return tuple(text(item) for item in values)


def jump(value: Any) -> str:
    """Hops, comma-separated."""
    for hop in text(value).split(","):
        if not _HOP.fullmatch(hop.strip()):
            raise ValueError(f"expected [user@]host[:port], got {hop!r}")
    return str(value)


def host_keys(value: Any) -> HostKeys:
    """``strict`` or ``accept-new``."""
    try:
        return HostKeys(value)
    except ValueError:
        off = value in (False, "no", "off", "ignore", "none")
        why = "; the check cannot be switched off" if off else ""
        raise ValueError(f"expected strict or accept-new, got {shown(value)}{why}") from None


def connection(value: Any) -> ConnectionKind:
    """``ssh`` or ``local``."""
    try:
        return ConnectionKind(value)
    except ValueError:
        raise ValueError(f"expected ssh or local, got {shown(value)}") from None


def platform(value: Any) -> str:
    """One of the platforms."""
    if value not in PLATFORMS:
        raise ValueError(f"expected one of {', '.join(PLATFORMS)}, got {shown(value)}")
    return str(value)


def remote_root(value: Any) -> str:
    """An absolute path, or one below ``~/``."""
    path = text(value).rstrip("/")
    if not path.startswith(("/", "~/")) or "/../" in path + "/":
        raise ValueError(f"expected an absolute path, or one that begins with ~/, got {value!r}")
    return path


def labels(value: Any) -> Mapping[str, str]:
    """A mapping of names to short texts."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of names to values, got {shown(value)}")
    result = {}
    for name, label in value.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"expected a name, got {shown(name)}")
        if isinstance(label, (list, Mapping)) or label is None:
            raise ValueError(f"{name}: expected text, got {shown(label)}")
        result[name] = str(label).lower() if isinstance(label, bool) else str(label)
    return MappingProxyType(result)


def env(value: Any) -> Mapping[str, Secret | None]:
    """A mapping of variables to values, or a list of variables to pass on from here."""
    if isinstance(value, list):
        value = dict.fromkeys(value)
    if not isinstance(value, Mapping):
        raise ValueError(f"expected variables, got {shown(value)}")
    result: dict[str, Secret | None] = {}
    for name, given in value.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise ValueError(f"expected the name of a variable, got {shown(name)}")
        if isinstance(given, (list, Mapping, bool)):
            raise ValueError(f"{name}: expected text; put it in quotes")
        result[name] = None if given is None else Secret(str(given))
    return MappingProxyType(result)


CHECKS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "address": _matching(_ADDRESS, "a host name or an IP address"),
        "port": port,
        "user": _matching(_USER, "a user name"),
        "identity_file": identity_file,
        "known_hosts": text,
        "jump": jump,
        "host_keys": host_keys,
        "connect_timeout": seconds,
        "keepalive": keepalive,
        "remote_root": remote_root,
        "platform": platform,
        "connection": connection,
        "labels": labels,
        "env": env,
    }
)
"""Every key of a host but the platform sections."""
