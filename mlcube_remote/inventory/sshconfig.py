# SPDX-License-Identifier: Apache-2.0
"""What ``ssh HOST`` would do, asked of ``ssh -G`` so that Include, Match and tokens all count.

No network is used. The inventory's own keys win over ssh_config's. Where there is no ``ssh``
program, OpenSSH's defaults serve.
"""

from __future__ import annotations

import getpass
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import Host, Inventory

CONFIG_VARIABLE = "MLCUBE_REMOTE_SSH_CONFIG"
"""Names a file that is read instead of ssh_config, as with ``ssh -F``."""

Options = Mapping[str, tuple[str, ...]]
"""Option name in lower case → its values, in order."""

Asker = Callable[[str, Mapping[str, str]], Options]
"""Asks about a name, with overrides; as :func:`ask_ssh`."""

_UNKNOWN = "mlcube-remote-asks-about-a-host-that-nobody-has"
_HOP = re.compile(
    r"(?:(?P<user>[^@]+)@)?(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d+))?"
)


def ask_ssh(name: str, overrides: Mapping[str, str]) -> Options:
    """Run ``ssh -G``.

    Args:
        name: Host alias, as one would type it after ``ssh``.
        overrides: Options that win over the files, such as ``Port``.

    Raises:
        FileNotFoundError: There is no ``ssh`` here.
        InventoryError: ssh_config has a mistake; ssh's words are in the message.
    """
    file = os.environ.get(CONFIG_VARIABLE)
    argv = ["ssh", "-G", *(("-F", file) if file else ())]
    for option, value in overrides.items():
        argv += ["-o", f"{option}={value}"]
    done = subprocess.run(
        [*argv, "--", name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=30,
        check=False,
    )
    if done.returncode != 0:
        raise InventoryError(
            f"{name}: ssh_config cannot be used: {done.stderr.strip() or 'ssh -G failed'}",
            hint=f"look at: ssh -G {name}",
        )
    options: dict[str, tuple[str, ...]] = {}
    for line in done.stdout.splitlines():
        option, _, value = line.partition(" ")
        options[option.lower()] = (*options.get(option.lower(), ()), value.strip())
    return options


def _ask(name: str, overrides: Mapping[str, str]) -> Options:
    try:
        return ask_ssh(name, overrides)
    except FileNotFoundError:
        user = overrides.get("User") or getpass.getuser()
        return {
            "hostname": (overrides.get("HostName", name),),
            "port": (overrides.get("Port", "22"),),
            "user": (user,),
            "identityfile": tuple(f"~/.ssh/{key}" for key in ("id_ed25519", "id_ecdsa", "id_rsa")),
            "userknownhostsfile": ("~/.ssh/known_hosts",),
            "globalknownhostsfile": ("/etc/ssh/ssh_known_hosts",),
        }


def knows(name: str, ask: Asker = _ask) -> bool:
    """Return whether ssh_config says anything of ``name`` that it does not say of every host."""
    about, nobody = dict(ask(name, {})), dict(ask(_UNKNOWN, {}))
    for options, itself in ((about, name), (nobody, _UNKNOWN)):
        options.pop("host", None)
        if options.get("hostname") == (itself.lower(),) or options.get("hostname") == (itself,):
            options.pop("hostname")
    return about != nobody


def resolve(host: Host, inventory: Inventory, ask: Asker = _ask) -> Endpoint:
    """Decide everything about how to reach a host.

    Args:
        host: As selected.
        inventory: Where jump hosts are looked up first.
        ask: Asks ssh_config.

    Raises:
        InventoryError: Jump hosts lead in a circle, or ssh_config has a mistake.
    """
    return _resolve(host, inventory, ask, ())


def _resolve(host: Host, inventory: Inventory, ask: Asker, above: tuple[str, ...]) -> Endpoint:
    if host.name in above:
        circle = " → ".join((*above, host.name))
        raise InventoryError(f"{host.source or host.name}: jump hosts form a circle: {circle}")
    # An inventory's address may itself be an alias, whose options then count too.
    options = ask(host.address or host.name, _overrides(host))
    jump = host.jump if host.jump is not None else _first(options, "proxyjump")
    hops: tuple[Endpoint, ...] = ()
    if jump and jump.lower() != "none":
        hops = tuple(
            endpoint
            for hop in jump.split(",")
            for endpoint in _hop(hop.strip(), inventory, ask, (*above, host.name))
        )
    command = None if hops or host.jump else _first(options, "proxycommand")
    hostname = _first(options, "hostname") or host.address or host.name
    port = int(_first(options, "port") or 22)
    user = _first(options, "user") or getpass.getuser()
    tokens = {"%h": hostname, "%p": str(port), "%r": user, "%n": host.name, "%%": "%"}
    alias = _first(options, "hostkeyalias")
    return Endpoint(
        hostname=hostname,
        port=port,
        user=user,
        identity_files=_identities(host, options),
        identities_only=bool(host.identity_file) or _first(options, "identitiesonly") == "yes",
        identity_agent=_agent(_first(options, "identityagent")),
        proxy_jump=hops,
        proxy_command=None
        if not command or command.lower() == "none"
        else re.sub(r"%[hprn%]", lambda match: tokens[match[0]], command),
        user_known_hosts_files=(_expand(host.known_hosts),)
        if host.known_hosts
        else _files(options, "userknownhostsfile"),
        global_known_hosts_files=()
        if host.known_hosts
        else _files(options, "globalknownhostsfile"),
        host_key_alias=alias if alias and alias.lower() != "none" else None,
        connect_timeout=host.connect_timeout,
    )


def _overrides(host: Host) -> dict[str, str]:
    given: dict[str, str] = {}
    if host.port is not None:
        given["Port"] = str(host.port)
    if host.user is not None:
        given["User"] = host.user
    return given


def _hop(
    hop: str, inventory: Inventory, ask: Asker, above: tuple[str, ...]
) -> tuple[Endpoint, ...]:
    """Return the endpoints that lead to a hop, the hop itself last."""
    match = _HOP.fullmatch(hop)
    if match is None:
        raise InventoryError(f"jump: expected [user@]host[:port], got {hop!r}")
    name = match["host"] or match["ipv6"]
    known = inventory.hosts.get(name, Host(name=name, identity_file=()))
    asked = attrs.evolve(
        known,
        user=match["user"] or known.user,
        port=int(match["port"]) if match["port"] else known.port,
    )
    endpoint = _resolve(asked, inventory, ask, above)
    return (*endpoint.proxy_jump, attrs.evolve(endpoint, proxy_jump=()))


def _first(options: Options, name: str) -> str | None:
    values = options.get(name)
    return values[0] if values and values[0] else None


def _files(options: Options, name: str) -> tuple[str, ...]:
    return tuple(_expand(file) for value in options.get(name, ()) for file in value.split())


def _identities(host: Host, options: Options) -> tuple[str, ...]:
    if host.identity_file:
        return tuple(_expand(file) for file in host.identity_file)
    files = (_expand(file) for file in options.get("identityfile", ()))
    return tuple(file for file in files if Path(file).exists() or Path(f"{file}.pub").exists())


def _agent(value: str | None) -> str | None:
    if value is None or value == "SSH_AUTH_SOCK":
        return None
    if value.startswith("$"):
        return os.environ.get(value.lstrip("$").strip("{}")) or "none"
    return _expand(value)


def _expand(path: str) -> str:
    return os.path.expanduser(path.replace("%d", "~"))
