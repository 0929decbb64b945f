# SPDX-License-Identifier: Apache-2.0
"""What ``ssh HOST`` would do, asked of ``ssh -G`` so that Include, Match and tokens all count.

No network is used. The inventory's own keys win over ssh_config's. Where there is no ``ssh``
program, OpenSSH's defaults serve.
"""

from __future__ import annotations

import getpass
import os
import re
import shlex
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

_PER_NAME = frozenset({"host", "hostname", "controlpath"})
"""Options that differ between names of which ssh_config says nothing (``%C`` is a hash)."""

_UNKNOWN = "mlcube-remote-asks-about-a-host-that-nobody-has"
_HOP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d+))?/?"
)
_TOKEN = re.compile(r"%[A-Za-z%]|\$\{(\w+)\}")
# A list of paths is printed without its quotes; a path that begins anew begins with one of these.
_BETWEEN_PATHS = re.compile(r"\s+(?=[/~%$])")
_TIMEOUT = 30.0


def ask_ssh(name: str, overrides: Mapping[str, str]) -> Options:
    """Run ``ssh -G``.

    Args:
        name: Host alias, as one would type it after ``ssh``.
        overrides: Options that win over the files, such as ``Port``.

    Raises:
        FileNotFoundError: There is no ``ssh`` here.
        InventoryError: ssh_config has a mistake (ssh's words are in the message), or asks
            something (``Match exec``, ``CanonicalizeHostname``) that does not answer.
    """
    file = os.environ.get(CONFIG_VARIABLE)
    argv = ["ssh", "-G", *(("-F", file) if file else ())]
    for option, value in overrides.items():
        argv += ["-o", f"{option}={value}"]
    hint = f"look at: ssh -G {f'-F {shlex.quote(file)} ' if file else ''}{name}"
    try:
        done = subprocess.run(
            [*argv, "--", name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as problem:
        raise InventoryError(
            f"{name}: ssh_config cannot be used: no answer from ssh -G after {_TIMEOUT:.0f} s",
            hint=hint,
        ) from problem
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["ssh -G failed"]
        raise InventoryError(f"{name}: ssh_config cannot be used: {said[0]}", hint=hint)
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
    about, nobody = ask(name, {}), ask(_UNKNOWN, {})
    if about.get("hostname", (name,))[0].lower() != name.lower():
        return True
    # "Host *" may spell each name in its paths; that says nothing of this one.
    said, of_all = (
        {
            option: tuple(value.lower().replace(_UNKNOWN, name.lower()) for value in values)
            for option, values in options.items()
            if option not in _PER_NAME
        }
        for options in (about, nobody)
    )
    return said != of_all


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
        raise InventoryError(
            f"{host.source or host.name}: jump hosts form a circle: {circle}",
            hint=f"a host that is reached directly says: {host.name}: {{jump: none}}",
        )
    # An inventory's address may itself be an alias, whose options then count too.
    options = ask(host.address or host.name, _overrides(host))
    jump = host.jump if host.jump is not None else _first(options, "proxyjump")
    hops: tuple[Endpoint, ...] = ()
    if jump and jump.lower() != "none":
        hops = tuple(
            endpoint
            for index, hop in enumerate(jump.split(","))
            for endpoint in _hop(hop.strip(), inventory, ask, (*above, host.name), first=index == 0)
        )
    command = None if hops or host.jump else _first(options, "proxycommand")
    hostname = _first(options, "hostname") or host.address or host.name
    port = int(_first(options, "port") or 22)
    user = _first(options, "user") or getpass.getuser()
    named = host.address or host.name
    alias = _first(options, "hostkeyalias")
    tokens = {"%h": hostname, "%p": str(port), "%r": user, "%n": named, "%%": "%"}
    return Endpoint(
        hostname=hostname,
        port=port,
        user=user,
        identity_files=_identities(host, options, tokens | {"%k": alias or named}),
        identities_only=bool(host.identity_file) or _first(options, "identitiesonly") == "yes",
        identity_agent=_agent(_first(options, "identityagent")),
        proxy_jump=hops,
        proxy_command=None
        if not command or command.lower() == "none"
        else _TOKEN.sub(lambda match: tokens.get(match[0], match[0]), command),
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
    hop: str, inventory: Inventory, ask: Asker, above: tuple[str, ...], *, first: bool
) -> tuple[Endpoint, ...]:
    """Return the endpoints that lead to a hop, the hop itself last.

    As in ssh(1), only the first of several hops is reached in its own way; the others are reached
    from the one before.
    """
    match = _HOP.fullmatch(hop)
    if match is None:
        raise InventoryError(f"jump: expected [user@]host[:port], got {hop!r}")
    name = match["host"] or match["ipv6"]
    known = inventory.hosts.get(name, Host(name=name))
    if known.is_local:
        raise InventoryError(f"{above[-1]}: jump: '{name}' is this machine, expected another one")
    asked = attrs.evolve(
        known,
        user=match["user"] or known.user,
        port=int(match["port"]) if match["port"] else known.port,
        jump=known.jump if first else "none",
    )
    endpoint = _resolve(asked, inventory, ask, above)
    return (*endpoint.proxy_jump, attrs.evolve(endpoint, proxy_jump=()))


def _first(options: Options, name: str) -> str | None:
    values = options.get(name)
    return values[0] if values and values[0] else None


def _files(options: Options, name: str) -> tuple[str, ...]:
    files = (file for value in options.get(name, ()) for file in _BETWEEN_PATHS.split(value))
    # Keys written to a device are forgotten, and "accept-new" would accept any key each time.
    return tuple("none" if file.startswith("/dev/") else _expand(file) for file in files)


def _identities(host: Host, options: Options, tokens: Mapping[str, str]) -> tuple[str, ...]:
    def expand(file: str) -> str:
        # ssh -G prints these paths alone as they were written.
        every = {**tokens, **_local_tokens()} if "%" in file else {}
        filled = _TOKEN.sub(
            lambda found: (
                os.environ.get(found[1], "") if found[1] else every.get(found[0], found[0])
            ),
            file,
        )
        return os.path.expanduser(filled)

    if host.identity_file:
        return tuple(expand(file) for file in host.identity_file)
    files = (expand(file) for file in options.get("identityfile", ()))
    return tuple(file for file in files if Path(file).exists() or Path(f"{file}.pub").exists())


def _local_tokens() -> dict[str, str]:
    local = os.uname().nodename
    return {
        "%d": os.path.expanduser("~"),
        "%i": str(os.getuid()),
        "%l": local,
        "%L": local.partition(".")[0],
        "%u": getpass.getuser(),
    }


def _agent(value: str | None) -> str | None:
    if value is None or value == "SSH_AUTH_SOCK":
        return None
    if value.startswith("$"):
        return os.environ.get(value.lstrip("$").strip("{}")) or "none"
    return _expand(value)


def _expand(path: str) -> str:
    return os.path.expanduser(path.replace("%d", "~"))
