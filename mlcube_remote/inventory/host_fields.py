# SPDX-License-Identifier: Apache-2.0
"""The keys of a host in ``hosts.yaml``, each with its check.

A check takes the value that YAML read and returns the value of the field in :class:`Host`, or
raises :class:`ValueError` with "expected …, got …". The checks are not validators of the class:
only values of the file need them, and only its reader knows the line for the message.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mlcube_remote.inventory import slurm as slurm_keys
from mlcube_remote.inventory.endpoint import is_ip_address, parse_destination
from mlcube_remote.inventory.model import ConnectionKind, HostKeys, Launcher, TransportKind
from mlcube_remote.platforms import PLATFORMS, SETTINGS
from mlcube_remote.secret import Secret

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""Names of hosts and groups: safe in file names, labels and on command lines."""

MAX_NAME_LENGTH = 100
"""Length of a name, which is part of file names."""

_ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# Names of machine accounts end with "$"; a ProxyCommand's shell would expand it anywhere else.
_USER = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.@\\-]*[A-Za-z0-9_.@-])?\$?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_SECRET = re.compile(r"(?i)pass$|passw|passphrase|^secret$|^sshpass|^token$|private_?key$")

NO_SECRETS = (
    "secrets are not allowed in this file; use an ssh-agent, or --ask-password / --ask-passphrase"
)
"""The message for an :func:`is_secret_key`."""


def is_secret_key(key: object) -> bool:
    """Return whether an unknown key looks like one for a password or another secret."""
    return isinstance(key, str) and key not in CHECKS and _SECRET.search(key) is not None


def describe(value: Any) -> str:
    """Return a value for a message, with the type that YAML gave it."""
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
    """Check for text without control characters; numbers and booleans must be quoted."""
    if isinstance(value, bool) or not isinstance(value, str):
        quote = "" if value is None or isinstance(value, (list, Mapping)) else "; put it in quotes"
        raise ValueError(f"expected text, got {describe(value)}{quote}")
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


def address(value: Any) -> str:
    """Check for a DNS name or an IP address, without a port."""
    if _ADDRESS.fullmatch(text(value)) or is_ip_address(value):
        return str(value)
    why = "; the port has its own key" if re.fullmatch(r"[^:]+:\d+", value) else ""
    raise ValueError(f"expected a host name or an IP address, got {value!r}{why}")


def known_hosts(value: Any) -> str:
    """Check for a file that keeps keys; only the reader of the file can examine the path."""
    if text(value).lower() == "none":
        raise ValueError(f"expected a file that keeps host keys, got {value!r}")
    return str(value)


def port(value: Any) -> int:
    """Check for a TCP port."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        quoted = isinstance(value, str) and re.fullmatch(r"\d+", value, re.ASCII)
        why = "; write it without quotes" if quoted else ""
        raise ValueError(f"expected a port between 1 and 65535, got {describe(value)}{why}")
    return value


def copy_links(value: Any) -> bool:
    """Check for ``true`` or ``false``."""
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {describe(value)}")
    return value


def slots(value: Any) -> int:
    """Check for a number of jobs."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 1024:
        raise ValueError(f"expected a number between 1 and 1024, got {describe(value)}")
    return value


def gpus(value: Any) -> tuple[str, ...] | None:
    """Check for ``auto``, or a list of GPU numbers or UUIDs."""
    if value == "auto":
        return None
    if not isinstance(value, list):
        raise ValueError(f"expected auto, or a list of GPUs such as [0, 1], got {describe(value)}")
    if not value:
        raise ValueError("expected at least one GPU; omit this key if the host has no GPU")
    names = [str(item) for item in value if not isinstance(item, bool)]
    for item, name in zip(value, names, strict=False):
        if not re.fullmatch(r"\d{1,3}|(?:GPU|MIG)-[0-9A-Za-z-]+", name):
            raise ValueError(f"expected a GPU's number or UUID, got {describe(item)}")
    if len(set(names)) < len(value):
        raise ValueError("expected each GPU once")
    return tuple(names)


def seconds(value: Any) -> float:
    """Check for a positive number of seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 86400:
        raise ValueError(f"expected a number of seconds, got {describe(value)}")
    return float(value)


def keepalive(value: Any) -> float:
    """Check for seconds between keepalives; 0 switches them off."""
    if value == 0 and not isinstance(value, bool):
        return 0.0
    return seconds(value)


def min_rate(value: Any) -> float:
    """Check for a number of bytes per second; 0: no limit."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**40:
        raise ValueError(f"expected a number of bytes per second, got {describe(value)}")
    return float(value)


def identity_file(value: Any) -> tuple[str, ...]:
    """Check for a path or a list of paths."""
    values = value if isinstance(value, list) else [value]
    return tuple(text(item) for item in values)


def jump(value: Any) -> str:
    """Check for jump hosts, comma-separated."""
    for hop in text(value).split(","):
        parse_destination(hop.strip())
    return str(value)


def host_keys(value: Any) -> HostKeys:
    """Check for ``strict`` or ``accept-new``."""
    try:
        return HostKeys(value)
    except ValueError:
        off = value in (False, "no", "off", "ignore", "none")
        why = "; the check cannot be switched off" if off else ""
        raise ValueError(f"expected strict or accept-new, got {describe(value)}{why}") from None


def connection(value: Any) -> ConnectionKind:
    """Check for ``ssh`` or ``local``."""
    try:
        return ConnectionKind(value)
    except ValueError:
        raise ValueError(f"expected ssh or local, got {describe(value)}") from None


def platform(value: Any) -> str:
    """Check for a platform."""
    if value not in PLATFORMS:
        raise ValueError(f"expected one of {', '.join(PLATFORMS)}, got {describe(value)}")
    return str(value)


def remote_root(value: Any) -> str:
    """Check for an absolute path, or one that starts with ``~/``."""
    path = text(value).rstrip("/")
    if not path.startswith(("/", "~/")) or "/../" in path + "/":
        raise ValueError(f"expected an absolute path, or one that starts with ~/, got {value!r}")
    return path


def labels(value: Any) -> Mapping[str, str]:
    """Check for a mapping of names to texts."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of names to values, got {describe(value)}")
    result = {}
    for name, label in value.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"expected a name, got {describe(name)}")
        if isinstance(label, (list, Mapping)) or label is None:
            raise ValueError(f"{name}: expected text, got {describe(label)}")
        if _has_controls(str(label)):
            raise ValueError(f"{name}: expected text without control characters, got {label!r}")
        result[name] = str(label)
    return MappingProxyType(result)


def env(value: Any) -> Mapping[str, Secret | None]:
    """Check for a mapping of variables to values, or a list of variables of this machine.

    Values may be secrets: messages show names only, also of ``NAME=value``.
    """
    if not isinstance(value, (list, Mapping)):
        raise ValueError("expected variables: a mapping of names to values, or a list of names")
    pairs = [(name, None) for name in value] if isinstance(value, list) else value.items()
    result: dict[str, Secret | None] = {}
    for name, given in pairs:
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            word, equals, _ = name.partition("=") if isinstance(name, str) else (name, "", "")
            why = f"; write {word}: VALUE" if equals else ""
            raise ValueError(f"expected the name of a variable, got {describe(word)}{why}")
        if isinstance(given, (list, Mapping, bool)):
            raise ValueError(f"{name}: expected text; put it in quotes")
        if "\0" in str(given):
            raise ValueError(f"{name}: the value contains a NUL character")
        result[name] = None if given is None else Secret(str(given))
    return MappingProxyType(result)


def transport(value: Any) -> TransportKind:
    """Check for ``auto``, ``paramiko`` or ``openssh``."""
    try:
        return TransportKind(value)
    except ValueError:
        raise ValueError(f"expected auto, paramiko or openssh, got {describe(value)}") from None


def launcher(value: Any) -> Launcher:
    """Check for ``setsid`` or ``slurm``."""
    try:
        return Launcher(value)
    except ValueError:
        raise ValueError(f"expected setsid or slurm, got {describe(value)}") from None


def slurm(value: Any) -> Mapping[str, Any]:
    """Check for a mapping of the keys of Slurm."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of names to values, got {describe(value)}")
    return slurm_keys.check(value)


CHECKS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "address": address,
        "port": port,
        "user": _matching(_USER, "a user name"),
        "identity_file": identity_file,
        "known_hosts": known_hosts,
        "jump": jump,
        "host_keys": host_keys,
        "transport": transport,
        "connect_timeout": seconds,
        "keepalive": keepalive,
        "min_rate": min_rate,
        "remote_root": remote_root,
        "platform": platform,
        "connection": connection,
        "launcher": launcher,
        "slurm": slurm,
        "copy_links": copy_links,
        "image_source": _matching(NAME, "the name of a host"),
        "slots": slots,
        "gpus": gpus,
        "labels": labels,
        "env": env,
    }
)
"""All keys of a host except the platform sections, each with its check."""


def describe_keys(unknown: Any, known: Sequence[str]) -> str:
    """Return the hint for an unknown key: where an engine's setting belongs, or the known keys."""
    sections = [name for name in PLATFORMS if name in known and unknown in SETTINGS[name]]
    if sections:
        return f"it is a setting of {' and '.join(sections)}: {sections[-1]}: {{{unknown}: …}}"
    return f"known keys: {', '.join(known)}"
