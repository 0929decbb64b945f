# SPDX-License-Identifier: Apache-2.0
"""The keys of a host in ``hosts.yaml``, each with its check.

A check takes what YAML read and returns the value that a :class:`Host` holds, or raises
:class:`ValueError` with "expected …, got …".
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from mlcube_remote.inventory.model import ConnectionKind, HostKeys
from mlcube_remote.platforms import PLATFORMS
from mlcube_remote.secret import Secret

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""What hosts and groups may be called: safe in file names, labels and on command lines."""

NAME_LENGTH = 100
"""Characters that a name may have: it becomes part of file names."""

_ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# A "$" ends the names of machine accounts; elsewhere a ProxyCommand's shell would expand it.
_USER = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.@\\-]*[A-Za-z0-9_.@-])?\$?")
_HOP = re.compile(
    r"(?:[A-Za-z0-9_][\w.\\-]*@)?(?:[A-Za-z0-9_][\w.-]*|\[(?P<ipv6>[^\]]+)\])(?::(?P<port>\d+))?",
    re.ASCII,
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_SECRET = re.compile(r"(?i)pass$|passw|passphrase|^secret$|^sshpass|^token$|private_?key$")

NO_SECRETS = (
    "secrets never stand in the file; use an ssh-agent, or --ask-password / --ask-passphrase"
)
"""What to tell those who write a key that :func:`asks_for_a_secret`."""


def asks_for_a_secret(key: object) -> bool:
    """Return whether a key is one of those that people try to keep passwords in."""
    return isinstance(key, str) and key not in CHECKS and _SECRET.search(key) is not None


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
    if not value or _has_controls(value):
        raise ValueError(f"expected text without control characters, got {value!r}")
    return value


def _has_controls(value: str) -> bool:
    return any(unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"} for character in value)


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not pattern.fullmatch(text(value)):
            raise ValueError(f"expected {what}, got {value!r}")
        return str(value)

    return check


def is_ip_address(value: str) -> bool:
    """Return whether it is an IPv4 or IPv6 address, a zone included."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return re.fullmatch(r"[0-9A-Za-z.:%_-]+", value) is not None


def address(value: Any) -> str:
    """A DNS name or an IP address, without a port."""
    if _ADDRESS.fullmatch(text(value)) or is_ip_address(value):
        return str(value)
    why = "; the port has a key of its own" if re.fullmatch(r"[^:]+:\d+", value) else ""
    raise ValueError(f"expected a host name or an IP address, got {value!r}{why}")


def known_hosts(value: Any) -> str:
    """A file; a device forgets the keys that ``accept-new`` trusts, so nothing would be checked."""
    if text(value).startswith("/dev/") or value == "none":
        raise ValueError(f"expected a file that keeps host keys, got {value!r}")
    return str(value)


def port(value: Any) -> int:
    """A TCP port."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        quoted = isinstance(value, str) and re.fullmatch(r"\d+", value, re.ASCII)
        why = "; write it without quotes" if quoted else ""
        raise ValueError(f"expected a port between 1 and 65535, got {shown(value)}{why}")
    return value


def slots(value: Any) -> int:
    """How many jobs at once."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 1024:
        raise ValueError(f"expected a number between 1 and 1024, got {shown(value)}")
    return value


def gpus(value: Any) -> tuple[str, ...] | None:
    """``auto``, or a list of the GPUs' numbers or UUIDs."""
    if value == "auto":
        return None
    if not isinstance(value, list):
        raise ValueError(f"expected auto, or a list of GPUs such as [0, 1], got {shown(value)}")
    if not value:
        raise ValueError("expected at least one GPU; a host without any needs no such key")
    names = [str(item) for item in value if not isinstance(item, bool)]
    for item, name in zip(value, names, strict=False):
        if not re.fullmatch(r"\d{1,3}|(?:GPU|MIG)-[0-9A-Za-z-]+", name):
            raise ValueError(f"expected a GPU's number or UUID, got {shown(item)}")
    if len(set(names)) < len(value):
        raise ValueError("expected each GPU once")
    return tuple(names)


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
        match = _HOP.fullmatch(hop.strip())
        if (
            match is None
            or (match["ipv6"] and not is_ip_address(match["ipv6"]))
            or not 0 < int(match["port"] or 22) < 65536
        ):
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
        if _has_controls(str(label)):
            raise ValueError(f"{name}: expected text without control characters, got {label!r}")
        result[name] = str(label)
    return MappingProxyType(result)


def env(value: Any) -> Mapping[str, Secret | None]:
    """A mapping of variables to values, or a list of variables to pass on from here.

    Its messages show no value, and of ``NAME=value`` the name only: values may be secrets.
    """
    if not isinstance(value, (list, Mapping)):
        raise ValueError("expected variables: a mapping of names to values, or a list of names")
    pairs = [(name, None) for name in value] if isinstance(value, list) else value.items()
    result: dict[str, Secret | None] = {}
    for name, given in pairs:
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            word, equals, _ = name.partition("=") if isinstance(name, str) else (name, "", "")
            why = f"; write {word}: VALUE" if equals else ""
            raise ValueError(f"expected the name of a variable, got {shown(word)}{why}")
        if isinstance(given, (list, Mapping, bool)):
            raise ValueError(f"{name}: expected text; put it in quotes")
        if "\0" in str(given):
            raise ValueError(f"{name}: the value holds a NUL character")
        result[name] = None if given is None else Secret(str(given))
    return MappingProxyType(result)


CHECKS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "address": address,
        "port": port,
        "user": _matching(_USER, "a user name"),
        "identity_file": identity_file,
        "known_hosts": known_hosts,
        "jump": jump,
        "host_keys": host_keys,
        "connect_timeout": seconds,
        "keepalive": keepalive,
        "remote_root": remote_root,
        "platform": platform,
        "connection": connection,
        "slots": slots,
        "gpus": gpus,
        "labels": labels,
        "env": env,
    }
)
"""Every key of a host but the platform sections."""
