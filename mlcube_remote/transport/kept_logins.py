# SPDX-License-Identifier: Apache-2.0
"""Logins that outlive their command: control masters that ``mlcube-remote login`` has started.

Each has a socket and a record in the private directory for sockets. The name of both is a digest of
all that decides where and how to log in, so a host whose settings have changed is logged in to
again, with new checks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.directories import open_private_file
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.transport.control_directory import control_directory
from mlcube_remote.transport.mux import end_master, find_master

_SUFFIX = ".login"
_DIGITS = 16


@attrs.frozen(kw_only=True)
class KeptLogin:
    """A login that later commands use."""

    host: str
    """Inventory name."""
    address: str
    """``user@host:port``"""
    idle_s: float
    """Seconds without use after which it ends."""
    last_use: float
    """Seconds since 1970."""
    path: str
    """The socket of its control master."""
    pid: int
    """The control master."""

    @property
    def until(self) -> float:
        """When it ends if it is not used any more, in seconds since 1970."""
        return self.last_use + self.idle_s


def login_path(endpoint: Endpoint) -> str:
    """Return the socket for a login that is kept.

    Raises:
        OSError: There is no place for it.
    """
    described = json.dumps(_describe(endpoint), sort_keys=True)
    name = hashlib.sha256(described.encode("utf-8", "surrogateescape")).hexdigest()
    return str(control_directory() / name[:_DIGITS])


def _describe(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "alias": endpoint.alias,
        "hostname": endpoint.hostname,
        "port": endpoint.port,
        "user": endpoint.user,
        "overrides": dict(endpoint.overrides),
        "identities": endpoint.identity_files,
        "known_hosts": [endpoint.user_known_hosts_files, endpoint.global_known_hosts_files],
        "key_alias": endpoint.host_key_alias,
        "proxy": endpoint.proxy_command,
        "jump": [_describe(hop) for hop in endpoint.proxy_jump],
    }


def record(host: str, endpoint: Endpoint, path: str, pid: int, idle_s: float) -> KeptLogin:
    """Write down a login, so that it can be listed and ended.

    Raises:
        OSError: The record cannot be written.
    """
    address = f"{endpoint.user}@{endpoint.hostname}:{endpoint.port}"
    document = {"host": host, "address": address, "idle_s": idle_s, "pid": pid}
    with os.fdopen(open_private_file(_record_of(path)), "w", encoding="utf-8") as output:
        output.truncate()
        json.dump(document, output)
    return KeptLogin(
        host=host, address=address, idle_s=idle_s, last_use=time.time(), path=path, pid=pid
    )


def touch(path: str) -> None:
    """Note that a login is used now: from now on it may be idle as long as it was meant to be."""
    with contextlib.suppress(OSError):
        os.utime(_record_of(path))


def find(endpoint: Endpoint, note: Callable[[str], None] = lambda _: None) -> str | None:
    """Return the socket of the login that is kept for a host; ``None`` if there is none.

    Args:
        endpoint: The host.
        note: Called with a line if there was a login, and it has ended.
    """
    try:
        path = login_path(endpoint)
    except OSError:
        return None
    if find_master(path) is not None:
        touch(path)
        return path
    ended = _read(_record_of(path))
    if ended is not None:
        remove(path)
        note(f"its login has ended ({describe_end(ended)}); logging in again")
    return None


def describe_end(login: KeptLogin) -> str:
    """Return why a login is over, for messages."""
    if time.time() >= login.until:
        return f"it was kept until {format_time(login.until)}"
    return "the connection broke, or its process was ended"


def format_time(when: float) -> str:
    """Return a time as people read it, in the local time zone."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


def list_logins() -> tuple[KeptLogin, ...]:
    """Return all logins that are kept now, by host."""
    try:
        records = sorted(control_directory().glob(f"*{_SUFFIX}"))
    except OSError:
        return ()
    found = []
    for file in records:
        path = str(file.with_suffix(""))
        login = _read(file)
        # Not find_master: a master that is asked counts that as use.
        if login is not None and Path(path).is_socket() and _lives(login.pid):
            found.append(login)
    return tuple(sorted(found, key=lambda login: login.host))


def end(login: KeptLogin) -> None:
    """End a login, with all sessions on it."""
    end_master(login.path)
    remove(login.path)


def remove(path: str) -> None:
    """Remove what a login has left behind."""
    with contextlib.suppress(OSError):
        _record_of(path).unlink(missing_ok=True)
        Path(path).unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # In a container without init, a process that was killed stays as a zombie.
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return not status.rpartition(")")[2].lstrip().startswith("Z")


def _record_of(path: str) -> Path:
    return Path(path + _SUFFIX)


def _read(file: Path) -> KeptLogin | None:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return KeptLogin(
            host=str(document["host"]),
            address=str(document["address"]),
            idle_s=float(document["idle_s"]),
            last_use=file.stat().st_mtime,
            path=str(file.with_suffix("")),
            pid=int(document["pid"]),
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None
