# SPDX-License-Identifier: Apache-2.0
"""Build the command that starts a control master: ``ssh`` with the user's ssh_config.

The inventory's settings override ssh_config, and the check of host keys is never switched off.
"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping

import attrs

from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import HostKeys
from mlcube_remote.inventory.paths import describe_special_file
from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE

PERSIST_S = 60
"""Seconds after which an idle master ends if this program could not end it (it was killed)."""

_PATHS = frozenset({"UserKnownHostsFile", "GlobalKnownHostsFile"})

_ALWAYS: Mapping[str, str] = {
    # The check of host keys, in every case.
    "NoHostAuthenticationForLocalhost": "no",
    # What a login on a terminal may do, and a program must not.
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "Tunnel": "no",
}


def master_command(
    endpoint: Endpoint,
    control_path: str,
    log: str,
    *,
    keepalive: float,
    may_ask: bool,
    persist_s: int,
) -> list[str]:
    """Return the command that logs in, and stays in the background as control master.

    Args:
        endpoint: The host, with its jump hosts.
        control_path: The socket for sessions.
        log: A file for the messages of jump hosts.
        keepalive: Seconds between keepalives; 0: none.
        may_ask: Whether ssh may ask for passwords and passphrases.
        persist_s: Seconds without a session after which the master ends.
    """
    options = {
        "ControlMaster": "yes",
        "ControlPath": _quote(control_path),
        "ControlPersist": str(persist_s),
        "ServerAliveInterval": str(math.ceil(keepalive)),
        "ServerAliveCountMax": "3",
    }
    if endpoint.proxy_jump:
        options["ProxyCommand"] = _proxy_command(endpoint, log, may_ask=may_ask)
    words = _ssh_words(endpoint, options, may_ask=may_ask)
    return [*words, "-f", "-N", "--", endpoint.alias]


def _proxy_command(endpoint: Endpoint, log: str, *, may_ask: bool) -> str:
    """Return the shell text that connects through the jump hosts.

    Not ProxyJump: the ssh(1) that it starts gets none of the options of this command.
    """
    *before, hop = endpoint.proxy_jump
    options = {"ControlMaster": "no", "ControlPath": "none"}
    if before:
        nested = attrs.evolve(hop, proxy_jump=tuple(before))
        options["ProxyCommand"] = _proxy_command(nested, log, may_ask=may_ask)
    else:
        options["ProxyJump"] = "none"
    host = f"[{endpoint.hostname}]:{endpoint.port}"
    # A master that stays in the background drops the messages of its ProxyCommand.
    words = _ssh_words(hop, options, may_ask=may_ask)
    words += ["-E", log, "-W", host, "--", hop.alias]
    # ssh(1) replaces tokens such as %h in a ProxyCommand.
    return shlex.join(words).replace("%", "%%")


def _ssh_words(endpoint: Endpoint, options: Mapping[str, str], *, may_ask: bool) -> list[str]:
    file = os.environ.get(CONFIG_VARIABLE)
    given = {
        name: _quote(value) if name in _PATHS else value
        for name, value in endpoint.overrides.items()
    }
    every = {
        **_ALWAYS,
        "BatchMode": "no" if may_ask else "yes",
        "NumberOfPasswordPrompts": "1",
        "ConnectTimeout": str(math.ceil(endpoint.connect_timeout)),
        "StrictHostKeyChecking": _strictness(endpoint),
        **given,
        **options,
    }
    words = ["ssh", *(("-F", file) if file else ())]
    for name, value in every.items():
        words += ["-o", f"{name}={value}"]
    for identity in endpoint.identity_files if "IdentitiesOnly" in given else ():
        words += ["-i", identity.replace("%", "%%")]
    return words


def _strictness(endpoint: Endpoint) -> str:
    """Return the value for StrictHostKeyChecking; new keys need a file that keeps them."""
    first = next(iter(endpoint.user_known_hosts_files), None)
    keeps_keys = first is not None and not describe_special_file(first)
    accepts_new = endpoint.host_keys is HostKeys.ACCEPT_NEW and keeps_keys
    return "accept-new" if accepts_new else "yes"


def _quote(path: str) -> str:
    """Return a path for an option that may have tokens and several paths."""
    return path if path == "none" else '"' + path.replace("%", "%%") + '"'
