# SPDX-License-Identifier: Apache-2.0
"""Hosts of the inventory and the results of their checks, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlcube_remote.facts.check_result import HostCheck
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.transport.kept_logins import KeptLogin, format_time
from mlcube_remote.ui.tables.columns import format_table
from mlcube_remote.ui.tables.logins import login_document
from mlcube_remote.ui.text import one_line, sanitise


def hosts_text(
    inventory: Inventory, logins: Sequence[KeptLogin] = (), *, width: int | None = None
) -> str:
    """Return all hosts and groups as a table, and the logins that are kept.

    Args:
        inventory: The hosts.
        logins: The logins.
        width: Columns of the terminal; ``None``: no limit.
    """
    groups = {
        name: ",".join(group for group, names in inventory.groups.items() if name in names)
        for name in inventory.hosts
    }
    rows = [
        [
            host.name,
            "-" if host.is_local else (host.address or host.name),
            host.user or "",
            host.platform or "",
            groups[host.name],
            " ".join(f"{key}={value}" for key, value in host.labels.items()),
        ]
        for host in inventory.hosts.values()
    ]
    table = format_table(
        ["host", "address", "user", "platform", "groups", "labels"],
        rows,
        width=width,
        spare=("platform", "user"),
        shrink=("labels", "groups", "address", "host"),
    )
    title = inventory.path or "no inventory; host names of ~/.ssh/config can be used"
    lines = [
        f"logged in: {one_line(login.host)} ({one_line(login.address)}) until "
        f"{format_time(login.until)}"
        for login in logins
    ]
    return "\n".join([str(title), table, *lines])


def hosts_document(inventory: Inventory, logins: Sequence[KeptLogin] = ()) -> dict[str, Any]:
    """Return all hosts and groups, and the logins that are kept, as JSON."""
    return {
        "inventory": str(inventory.path) if inventory.path else None,
        "hosts": [host_document(host, None) for host in inventory.hosts.values()],
        "groups": {name: list(hosts) for name, hosts in inventory.groups.items()},
        "logins": [login_document(login) for login in logins],
    }


def host_document(host: Host, endpoint: Endpoint | None) -> dict[str, Any]:
    """Return all settings of a host as JSON; of environment variables only the names."""
    document: dict[str, Any] = {
        "name": host.name,
        "connection": host.connection.value,
        "address": host.address,
        "port": host.port,
        "user": host.user,
        "host_keys": host.host_keys.value if host.host_keys else None,
        "transport": host.transport.value,
        "connect_timeout": host.connect_timeout,
        "keepalive": host.keepalive,
        "min_rate": host.min_rate,
        "remote_root": host.remote_root,
        "platform": host.platform,
        "slots": host.slots,
        "gpus": "auto" if host.gpus is None else list(host.gpus),
        "labels": dict(host.labels),
        "env": list(host.env),
        "settings": {name: dict(section) for name, section in host.settings.items()},
        "defined_at": host.source,
    }
    if endpoint is not None:
        document |= {
            "address": endpoint.hostname,
            "port": endpoint.port,
            "user": endpoint.user,
            "identity_files": list(endpoint.identity_files),
            "proxy_command": endpoint.proxy_command,
            "jump": [f"{hop.user}@{hop.hostname}:{hop.port}" for hop in endpoint.proxy_jump],
            "known_hosts": list(endpoint.user_known_hosts_files),
            "host_keys": endpoint.host_keys.value,
        }
    return document


_SSH_SETTINGS = ("host_keys", "transport", "connect_timeout", "keepalive", "min_rate")


def host_text(host: Host, endpoint: Endpoint | None) -> str:
    """Return all settings of a host, one line each."""
    document = host_document(host, endpoint)
    name, sections = document.pop("name"), document.pop("settings")
    if host.is_local:
        document = {key: value for key, value in document.items() if key not in _SSH_SETTINGS}
    for section, settings in sections.items():
        document |= {f"{section}.{key}": value for key, value in settings.items()}
    lines = [f"  {key}: {_format_value(value)}" for key, value in document.items()]
    return "\n".join([name, *(line for line in lines if not line.endswith(": "))])


def _format_value(value: Any) -> str:
    """Return a value as text; empty for ``None``."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return one_line(" ".join(f"{key}={item}" for key, item in value.items()))
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return one_line(f"{value:g}" if isinstance(value, float) else str(value))


def checks_text(checkups: Sequence[HostCheck], *, client: HostCheck | None = None) -> str:
    """Return the checks of this machine and of all hosts; failed checks have a hint."""
    blocks = []
    for checkup in checkups if client is None else (client, *checkups):
        width = max(len(check.name) for check in checkup.checks)
        lines = [f"{checkup.host}: {'ok' if checkup.passed else 'NOT READY'}"]
        for check in checkup.checks:
            mark = "ok  " if check.passed else "FAIL"
            lines.append(f"  {mark} {check.name:<{width}}  {sanitise(check.detail)}")
            hints = (check.hint or "").splitlines()
            lines += [f"       {'':<{width}}  → {sanitise(line)}" for line in hints]
        blocks.append("\n".join(lines))
    return "\n".join(blocks)


def checks_document(
    checkups: Sequence[HostCheck], *, client: HostCheck | None = None
) -> dict[str, Any]:
    """Return the checks of this machine and of all hosts as JSON."""
    return {
        "client": None if client is None else _check_document(client),
        "hosts": [{"host": each.host, **_check_document(each)} for each in checkups],
    }


def _check_document(checkup: HostCheck) -> dict[str, Any]:
    return {
        "ready": checkup.passed,
        "checks": [
            {
                "name": check.name,
                "passed": check.passed,
                "detail": check.detail,
                "hint": check.hint,
            }
            for check in checkup.checks
        ],
    }
