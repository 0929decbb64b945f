# SPDX-License-Identifier: Apache-2.0
"""Decide whether Paramiko can do what ssh_config and the user's files ask for.

It is preferred, because it logs in within a third of OpenSSH's time. docs/reference/logins.md has
the table of what is done by which transport.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import Host, TransportKind
from mlcube_remote.transport import kept_logins, key_files
from mlcube_remote.transport.algorithms import select_algorithms
from mlcube_remote.transport.connect_errors import IncompatibleServerError
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.kerberos import TicketCheck
from mlcube_remote.transport.known_hosts import format_name, read_known_hosts
from mlcube_remote.transport.login_keys import LoginKeys
from mlcube_remote.transport.mux import find_master
from mlcube_remote.transport.paramiko_link import open_paramiko_link
from mlcube_remote.transport.ssh import SSHConnection

_tickets = TicketCheck()


def connect_over_ssh(
    host: Host, endpoint: Endpoint, credentials: Credentials, note: Callable[[str], None]
) -> SSHConnection:
    """Connect with Paramiko, or with OpenSSH if only that can do it and the host allows both.

    Raises:
        ConnectError: The connection or the login failed.
    """
    with_paramiko = partial(
        open_paramiko_link, host, endpoint, credentials, note, opens_session=True
    )
    if host.transport is TransportKind.PARAMIKO:
        return SSHConnection.open(host, with_paramiko, note)
    is_kept = kept_logins.find(endpoint, note) is not None
    reason = "mlcube-remote login keeps a connection" if is_kept else openssh_reason(endpoint)
    if reason is None:
        try:
            return SSHConnection.open(host, with_paramiko, note)
        except IncompatibleServerError as problem:
            allowed = endpoint.algorithms.get(problem.option, ())
            if problem.offered.isdisjoint(allowed):
                raise
            reason = f"the server has only {problem.option} that Paramiko does not use"
    note(f"connecting with OpenSSH: {reason}")
    return _connect_with_openssh(host, endpoint, credentials, note)


def _connect_with_openssh(
    host: Host, endpoint: Endpoint, credentials: Credentials, note: Callable[[str], None]
) -> SSHConnection:
    """Connect with OpenSSH.

    Raises:
        ConnectError: The connection or the login failed.
    """
    from mlcube_remote.transport.openssh_link import open_openssh_link  # noqa: PLC0415 - few hosts

    with_openssh = partial(open_openssh_link, host, endpoint, credentials, note)
    return SSHConnection.open(host, with_openssh, note)


def openssh_reason(endpoint: Endpoint) -> str | None:
    """Return why only OpenSSH can log in to a host, for the user; ``None``: Paramiko can."""
    if endpoint.control_path and find_master(endpoint.control_path) is not None:
        return "ssh is already connected (ControlMaster)"
    for hop in (*endpoint.proxy_jump, endpoint):
        reason = _reason(hop)
        if reason is not None:
            return reason if hop is endpoint else f"{reason}, at the jump host {hop.alias}"
    return None


def _reason(endpoint: Endpoint) -> str | None:
    if endpoint.features:
        return f"ssh_config has {endpoint.features[0]}"
    for option, names in endpoint.algorithms.items():
        if names and not select_algorithms(option, names):
            return f"ssh_config has only {option} that Paramiko does not have"
    if endpoint.may_use_kerberos and _tickets.has_ticket():
        return "there is a Kerberos ticket"
    return _key_reason(endpoint) or _certificate_authority(endpoint)


def _key_reason(endpoint: Endpoint) -> str | None:
    for path in endpoint.identity_files:
        kind = key_files.describe_foreign(Path(path))
        if kind is not None:
            return f"{path} is {kind}"
    keys = LoginKeys(endpoint, None, [])
    try:
        if any(key.get_name().startswith("sk-") for key in keys.agent_keys()):
            return "the agent has the key of a security key"
    finally:
        keys.close()
    return None


def _certificate_authority(endpoint: Endpoint) -> str | None:
    """Return the reason if only an authority's line of known_hosts vouches for the host."""
    files = (*endpoint.user_known_hosts_files, *endpoint.global_known_hosts_files)
    name = endpoint.host_key_alias or format_name(endpoint.hostname, endpoint.port)
    found = [
        key
        for key in read_known_hosts(files, lambda _: None, with_authorities=True)
        if key.matches(name.lower()) or key.matches(endpoint.hostname.lower())
    ]
    if any(key.is_authority for key in found) and not any(
        not key.is_authority and not key.revoked and key.matches(name.lower()) for key in found
    ):
        authority = next(key for key in found if key.is_authority)
        return f"{authority.source} names a certificate authority for the host"
    return None
