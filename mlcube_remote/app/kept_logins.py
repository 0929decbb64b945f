# SPDX-License-Identifier: Apache-2.0
"""Log in to hosts once, for later commands, and log out of them."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from mlcube_remote.app.inventory import open_inventory, select_hosts
from mlcube_remote.app.options import AskCredentials, HostOptions
from mlcube_remote.errors import HostError, MLCubeRemoteError, UsageError
from mlcube_remote.inventory.model import Host, TransportKind
from mlcube_remote.inventory.sshconfig import resolve
from mlcube_remote.transport import kept_logins
from mlcube_remote.transport.credentials import Credentials as LoginCredentials
from mlcube_remote.transport.kept_logins import KeptLogin


@attrs.frozen(kw_only=True)
class LoginResult:
    """What a login to one host did."""

    host: str
    login: KeptLogin | None = None
    is_new: bool = False
    """Whether the login is new; otherwise there was one already."""
    error: MLCubeRemoteError | None = None


def log_in(
    options: HostOptions, credentials: AskCredentials, idle_s: float
) -> Iterator[LoginResult]:
    """Log in to hosts, one after the other, for later commands.

    Args:
        options: The hosts.
        credentials: Returns the secrets, and asks for others.
        idle_s: Seconds without use after which a login ends.

    Yields:
        The result of each host, as soon as it is known.

    Raises:
        UsageError: A host is this machine, or only Paramiko may be used for it.
        InventoryError: A host is unknown, or its ssh configuration cannot be read.
    """
    inventory = open_inventory(options.inventory)
    hosts = select_hosts(inventory, options.names, options.where)
    for host in hosts:
        _check(host)
    endpoints = [resolve(host, inventory) for host in hosts]
    given = credentials()
    secrets = LoginCredentials(
        password=given.password, passphrase=given.passphrase, answers=given.answers
    )
    from mlcube_remote.transport.openssh_link import keep_login  # noqa: PLC0415 - not for lists

    existing = {login.path: login for login in kept_logins.list_logins()}
    for host, endpoint in zip(hosts, endpoints, strict=True):
        try:
            path = kept_logins.find(endpoint)
            if path in existing:
                yield LoginResult(host=host.name, login=existing[path])
                continue
            login = keep_login(host, endpoint, secrets, idle_s)
            yield LoginResult(host=host.name, login=login, is_new=True)
        except HostError as problem:
            yield LoginResult(host=host.name, error=problem)


def _check(host: Host) -> None:
    if host.is_local:
        raise UsageError(f"{host.name} is this machine; expected a host that is reached over SSH")
    if host.transport is TransportKind.PARAMIKO:
        raise UsageError(
            f"{host.name}: has transport: paramiko, and only OpenSSH keeps a login",
            hint="set transport: auto for the host in hosts.yaml",
        )


def log_out(options: HostOptions) -> tuple[LoginResult, ...]:
    """End the logins that are kept: those of the named hosts, or all.

    Returns:
        The result of each host; its login is ``None`` if there was none.

    Raises:
        InventoryError: A host is unknown.
    """
    logins = kept_logins.list_logins()
    if not options.names:
        names = list(dict.fromkeys(login.host for login in logins))
    else:
        # Also of hosts that are not in the inventory any more.
        known = {login.host for login in logins}
        named = [name for name in options.names if name in known]
        others = [name for name in options.names if name not in known]
        if others:
            inventory = open_inventory(options.inventory)
            named += [host.name for host in select_hosts(inventory, others)]
        names = list(dict.fromkeys(named))
    results = []
    for name in names:
        own = [login for login in logins if login.host == name]
        for login in own:
            kept_logins.end(login)
        results.append(LoginResult(host=name, login=own[0] if own else None))
    return tuple(results)


def list_logins() -> tuple[KeptLogin, ...]:
    """Return the logins that are kept now."""
    return kept_logins.list_logins()
