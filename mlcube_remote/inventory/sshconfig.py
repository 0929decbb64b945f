# SPDX-License-Identifier: Apache-2.0
"""Read ssh_config through ``ssh -G``, so that Include, Match and tokens work as in ``ssh HOST``.

No network is used. The inventory's keys override those of ssh_config. If there is no ``ssh``
program, OpenSSH's defaults apply.
"""

from __future__ import annotations

import getpass
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import attrs

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.endpoint import Endpoint, parse_destination
from mlcube_remote.inventory.model import Host, HostKeys, Inventory
from mlcube_remote.inventory.paths import expand_home
from mlcube_remote.inventory.ssh_features import disabled_methods, list_features

CONFIG_VARIABLE = "MLCUBE_REMOTE_SSH_CONFIG"
"""Environment variable with the name of a file to read instead, as with ``ssh -F``."""

SshOptions = Mapping[str, tuple[str, ...]]
"""Option name in lower case → its values, in order."""

Query = Callable[[str, Mapping[str, str]], SshOptions]
"""Returns the options for a name, given overrides; see :func:`query_ssh`."""

_PER_NAME = frozenset({"host", "hostname", "controlpath"})
"""Options that differ for each name, even without settings for it (``%C`` is a hash)."""

_ALGORITHMS = ("ciphers", "macs", "kexalgorithms", "hostkeyalgorithms", "pubkeyacceptedalgorithms")

_UNCONFIGURED = "mlcube-remote-probe-of-an-unconfigured-name"
_TOKEN = re.compile(r"%[A-Za-z%]|\$\{(\w+)\}")
# ssh -G prints a list of paths without quotes; each path after the first starts with one of these.
_BETWEEN_PATHS = re.compile(r"\s+(?=[/~%$])")
_TIMEOUT_S = 30.0


def query_ssh(name: str, overrides: Mapping[str, str]) -> SshOptions:
    """Run ``ssh -G``.

    Args:
        name: Host alias, as in ``ssh NAME``.
        overrides: Options that override the files, such as ``Port``.

    Raises:
        FileNotFoundError: There is no ``ssh`` program.
        InventoryError: ssh_config has a mistake (the message has ssh's words), or waits for
            something that does not answer (``Match exec``, ``CanonicalizeHostname``).
    """
    file = os.environ.get(CONFIG_VARIABLE)
    argv = ["ssh", "-G", *(("-F", file) if file else ())]
    for option, value in overrides.items():
        argv += ["-o", f"{option}={value}"]
    hint = f"run: ssh -G {f'-F {shlex.quote(file)} ' if file else ''}{name}"
    try:
        done = subprocess.run(
            [*argv, "--", name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as problem:
        raise InventoryError(
            f"{name}: ssh_config cannot be used: no answer from ssh -G after {_TIMEOUT_S:.0f} s",
            hint=hint,
        ) from problem
    if done.returncode != 0:
        messages = done.stderr.strip().splitlines() or ["ssh -G failed"]
        raise InventoryError(f"{name}: ssh_config cannot be used: {messages[0]}", hint=hint)
    options: dict[str, tuple[str, ...]] = {}
    for line in done.stdout.splitlines():
        option, _, value = line.partition(" ")
        options[option.lower()] = (*options.get(option.lower(), ()), value.strip())
    return options


def _query_or_defaults(name: str, overrides: Mapping[str, str]) -> SshOptions:
    try:
        return query_ssh(name, overrides)
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


def is_configured(name: str, query: Query = _query_or_defaults) -> bool:
    """Return whether ssh_config has settings for a name, not only settings for all names."""
    options, defaults = query(name, {}), query(_UNCONFIGURED, {})
    if options.get("hostname", (name,))[0].lower() != name.lower():
        return True
    return _comparable(options, name) != _comparable(defaults, name)


def _comparable(options: SshOptions, name: str) -> dict[str, tuple[str, ...]]:
    """Return options with ``name`` in their paths, where ``Host *`` may have put the probe's."""
    return {
        option: tuple(value.lower().replace(_UNCONFIGURED, name.lower()) for value in values)
        for option, values in options.items()
        if option not in _PER_NAME
    }


def resolve(host: Host, inventory: Inventory, query: Query = _query_or_defaults) -> Endpoint:
    """Return everything that a connection to a host needs.

    Args:
        host: A selected host.
        inventory: Has the jump hosts, if they are not in ssh_config.
        query: Returns ssh_config's options.

    Raises:
        InventoryError: Jump hosts form a circle, or ssh_config has a mistake.
    """
    return _resolve(host, inventory, query, ())


def _resolve(host: Host, inventory: Inventory, query: Query, above: tuple[str, ...]) -> Endpoint:
    if host.name in above:
        circle = " → ".join((*above, host.name))
        raise InventoryError(
            f"{host.source or host.name}: jump hosts form a circle: {circle}",
            hint=f"give a host that needs no jump host: {host.name}: {{jump: none}}",
        )
    # The address may be an alias in ssh_config, which has settings for it.
    address = host.address or host.name
    options = query(address, _overrides(host))
    hops = _jump_hosts(host, options, inventory, query, above)
    hostname = _first(options, "hostname") or address
    port = int(_first(options, "port") or 22)
    user = _first(options, "user") or getpass.getuser()
    alias = _first(options, "hostkeyalias")
    tokens = {"%h": hostname, "%p": str(port), "%r": user, "%n": address, "%%": "%"}
    # A jump in the inventory, even "none", replaces ssh_config's proxy.
    command = None if hops or host.jump else _unless_none(_first(options, "proxycommand"))
    own_known_hosts = (expand_home(host.known_hosts),) if host.known_hosts else None
    return Endpoint(
        hostname=hostname,
        port=port,
        user=user,
        identity_files=_identities(host, options, tokens | {"%k": alias or address}),
        identities_only=bool(host.identity_file) or _first(options, "identitiesonly") == "yes",
        identity_agent=_agent(_first(options, "identityagent")),
        proxy_jump=hops,
        proxy_command=command and _TOKEN.sub(lambda at: tokens.get(at[0], at[0]), command),
        user_known_hosts_files=own_known_hosts or _files(options, "userknownhostsfile"),
        global_known_hosts_files=() if own_known_hosts else _files(options, "globalknownhostsfile"),
        host_key_alias=_unless_none(alias),
        algorithms=_algorithms(options),
        host_keys=_host_keys(host, options),
        trust_setting=inventory.trust_setting,
        is_check_disabled=_first(options, "stricthostkeychecking") in {"no", "off", "false"},
        disabled_methods=disabled_methods(options),
        alias=address,
        overrides=MappingProxyType(_options_for_ssh(host)),
        features=list_features(options),
        may_use_kerberos=_first(options, "gssapiauthentication") == "yes",
        control_path=_unless_none(_first(options, "controlpath")),
        connect_timeout=host.connect_timeout,
    )


def _host_keys(host: Host, options: SshOptions) -> HostKeys:
    accepts_new = _first(options, "stricthostkeychecking") == HostKeys.ACCEPT_NEW.value
    return host.host_keys or (HostKeys.ACCEPT_NEW if accepts_new else HostKeys.STRICT)


def _options_for_ssh(host: Host) -> dict[str, str]:
    """Return the options that give ssh(1) the inventory's settings; paths are not quoted."""
    given = _overrides(host)
    if host.identity_file:
        given["IdentitiesOnly"] = "yes"
    if host.known_hosts:
        given |= {
            "UserKnownHostsFile": expand_home(host.known_hosts),
            "GlobalKnownHostsFile": "none",
        }
    if host.jump:
        # The jump hosts themselves are a ProxyCommand of the transport.
        given |= {"ProxyCommand": "none", "ProxyJump": "none"}
    return given


def _overrides(host: Host) -> dict[str, str]:
    given: dict[str, str] = {}
    if host.port is not None:
        given["Port"] = str(host.port)
    if host.user is not None:
        given["User"] = host.user
    return given


def _jump_hosts(
    host: Host, options: SshOptions, inventory: Inventory, query: Query, above: tuple[str, ...]
) -> tuple[Endpoint, ...]:
    jump = _unless_none(host.jump if host.jump is not None else _first(options, "proxyjump"))
    return tuple(
        endpoint
        for index, hop in enumerate(jump.split(",") if jump else ())
        for endpoint in _hop(
            hop.strip(),
            inventory,
            query,
            (*above, host.name),
            is_first=index == 0,
            policy=host.host_keys,
        )
    )


def _hop(
    hop: str,
    inventory: Inventory,
    query: Query,
    above: tuple[str, ...],
    *,
    is_first: bool,
    policy: HostKeys | None,
) -> tuple[Endpoint, ...]:
    """Return the endpoints on the way to a jump host, the jump host last.

    As in ssh(1), only the first of several jump hosts may have its own jump hosts; each other one
    is reached through the one before it.
    """
    try:
        typed = parse_destination(hop.removeprefix("ssh://").removesuffix("/"), is_checked=True)
    except ValueError as problem:
        raise InventoryError(f"jump: {problem}") from problem
    key = inventory.jump_keys.get(hop)
    known = inventory.hosts.get(typed.host, Host(name=typed.host))
    if key and not known.identity_file:
        known = attrs.evolve(known, identity_file=(key,))
    if known.is_local:
        raise InventoryError(
            f"{above[-1]}: jump: '{typed.host}' is this machine, expected another host"
        )
    jump_host = attrs.evolve(
        known,
        user=typed.user or known.user,
        port=typed.port or known.port,
        jump=known.jump if is_first else "none",
        host_keys=known.host_keys or policy,
    )
    endpoint = _resolve(jump_host, inventory, query, above)
    return (*endpoint.proxy_jump, attrs.evolve(endpoint, proxy_jump=()))


def _first(options: SshOptions, name: str) -> str | None:
    values = options.get(name)
    return values[0] if values and values[0] else None


def _unless_none(value: str | None) -> str | None:
    """Return an option's value; ssh_config writes ``none`` to switch an option off."""
    return value if value and value.lower() != "none" else None


def _files(options: SshOptions, name: str) -> tuple[str, ...]:
    files = (file for value in options.get(name, ()) for file in _BETWEEN_PATHS.split(value))
    return tuple(expand_home(file) for file in files if _unless_none(file))


def _algorithms(options: SshOptions) -> Mapping[str, tuple[str, ...]]:
    given = {option: _first(options, option) for option in _ALGORITHMS}
    return MappingProxyType(
        {option: tuple(value.split(",")) for option, value in given.items() if value}
    )


def _identities(host: Host, options: SshOptions, tokens: Mapping[str, str]) -> tuple[str, ...]:
    def expand(file: str) -> str:
        # ssh -G expands tokens in other options, but not in these paths.
        values = {**tokens, **_local_tokens()} if "%" in file else {}
        filled = _TOKEN.sub(
            lambda at: os.environ.get(at[1], "") if at[1] else values.get(at[0], at[0]), file
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
    return expand_home(value)
