# SPDX-License-Identifier: Apache-2.0
"""The command for ``ssh``, and what its messages mean."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

import attrs
import pytest

from mlcube_remote.errors import (
    AuthenticationError,
    ConnectError,
    HostKeyError,
    UnreachableError,
)
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import HostKeys
from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE
from mlcube_remote.transport.attempts import TransientConnectError
from mlcube_remote.transport.openssh_command import master_command
from mlcube_remote.transport.openssh_errors import explain_login

ENDPOINT = Endpoint(
    hostname="10.0.0.1", port=2222, user="me", alias="gpu01", user_known_hosts_files=("/h/known",)
)


def _options(words: list[str]) -> dict[str, str]:
    pairs = itertools.pairwise(words)
    return dict(value.split("=", 1) for word, value in pairs if word == "-o")


def _command(endpoint: Endpoint) -> list[str]:
    return master_command(endpoint, "/s/c", "/s/log", keepalive=2.5, may_ask=False, persist_s=60)


def test_the_command_ends_with_the_name_for_ssh_config() -> None:
    words = _command(ENDPOINT)

    assert words[-4:] == ["-f", "-N", "--", "gpu01"]
    options = _options(words)
    assert options["BatchMode"] == "yes"
    assert options["ServerAliveInterval"] == "3"
    assert options["ControlPath"] == '"/s/c"'


@pytest.mark.parametrize(
    ("policy", "files", "expected"),
    [
        (HostKeys.STRICT, ("/h/known",), "yes"),
        (HostKeys.ACCEPT_NEW, ("/h/known",), "accept-new"),
        # New keys would be forgotten, and so each key would be new.
        (HostKeys.ACCEPT_NEW, ("/dev/null",), "yes"),
        (HostKeys.ACCEPT_NEW, ("//dev/null", "/h/known"), "yes"),
        (HostKeys.ACCEPT_NEW, (), "yes"),
    ],
)
def test_the_check_of_host_keys_is_never_switched_off(
    policy: HostKeys, files: tuple[str, ...], expected: str
) -> None:
    endpoint = attrs.evolve(ENDPOINT, host_keys=policy, user_known_hosts_files=files)

    options = _options(_command(endpoint))

    assert options["StrictHostKeyChecking"] == expected
    assert options["NoHostAuthenticationForLocalhost"] == "no"


def test_jump_hosts_get_the_same_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, "/my config")
    hops = tuple(attrs.evolve(ENDPOINT, alias=name, hostname=name) for name in ("a", "b%h"))
    endpoint = attrs.evolve(ENDPOINT, proxy_jump=hops)

    # Each ssh replaces %% by %, and then its shell removes the quotes.
    outer = shlex.split(_options(_command(endpoint))["ProxyCommand"].replace("%%", "%"))
    inner = shlex.split(_options(outer)["ProxyCommand"].replace("%%", "%"))

    assert outer[-4:] == ["-W", "[10.0.0.1]:2222", "--", "b%h"]
    assert inner[-4:] == ["-W", "[b%h]:2222", "--", "a"]
    for words in (outer, inner):
        assert words[:3] == ["ssh", "-F", "/my config"]
        assert _options(words)["StrictHostKeyChecking"] == "yes"
        assert _options(words)["BatchMode"] == "yes"


def test_paths_of_the_inventory_are_one_word(tmp_path: Path) -> None:
    overrides = {"UserKnownHostsFile": f"{tmp_path}/a b%c", "IdentitiesOnly": "yes"}
    endpoint = attrs.evolve(ENDPOINT, overrides=overrides, identity_files=("/k/a b%c",))

    words = _command(endpoint)

    assert _options(words)["UserKnownHostsFile"] == f'"{tmp_path}/a b%%c"'
    assert words[words.index("-i") + 1] == "/k/a b%%c"


CHANGED = """@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@
Offending ED25519 key in /h/known:3
Host key for [10.0.0.1]:2222 has changed and you have requested strict checking.
Host key verification failed.
"""


@pytest.mark.parametrize(
    ("stderr", "kind", "words"),
    [
        (CHANGED, HostKeyError, "its host key has CHANGED"),
        (
            (
                "No ED25519 host key is known for [10.0.0.1]:2222 and you have requested strict "
                "checking.\nHost key verification failed.\n"
            ),
            HostKeyError,
            "its host key is unknown: no line for [10.0.0.1]:2222 in /h/known",
        ),
        ("@ WARNING: REVOKED HOST KEY DETECTED! @\n", HostKeyError, "is revoked"),
        ("me@10.0.0.1: Permission denied (publickey).\n", AuthenticationError, "login as me refus"),
        (
            "Received disconnect from 10.0.0.1: 2: Too many authentication failures\n",
            AuthenticationError,
            "Too many authentication failures",
        ),
        (
            "ssh: Could not resolve hostname gpu01: Name or service not known\n",
            UnreachableError,
            "does not resolve",
        ),
        (
            "ssh: connect to host 10.0.0.1 port 2222: Connection refused\n",
            UnreachableError,
            "nothing listens",
        ),
        ("ssh: connect to host x port 1: Connection timed out\n", TransientConnectError, "did not"),
        ("Connection timed out during banner exchange\n", TransientConnectError, "did not answer"),
        ("ssh: connect to host x port 1: No route to host\n", TransientConnectError, "No route"),
        (
            (
                "Unable to negotiate with 10.0.0.1 port 2222: no matching cipher found. "
                "Their offer: aes128-cbc\n"
            ),
            UnreachableError,
            "aes128-cbc",
        ),
        (
            "kex_exchange_identification: Connection closed by remote host\n",
            TransientConnectError,
            "closed the connection before any login",
        ),
        (
            (
                "channel 0: open failed: administratively prohibited: open failed\n"
                "stdio forwarding failed\nConnection closed by UNKNOWN port 65535\n"
            ),
            UnreachableError,
            "the jump host does not forward",
        ),
        ("Bad packet length 1231976033.\n", UnreachableError, "does not follow the SSH protocol"),
        ("something\x1b[2J new\n", ConnectError, r"ssh failed: something\x1b[2J new"),
        ("", ConnectError, "ssh failed: without a message"),
    ],
)
def test_each_message_of_ssh_has_its_error(stderr: str, kind: type, words: str) -> None:
    problem = explain_login("h1", ENDPOINT, stderr)

    assert type(problem) is kind
    error = problem.error if isinstance(problem, TransientConnectError) else problem
    assert isinstance(error, ConnectError)
    assert words in str(error)
    assert error.exit_code == 120
    assert error.hint
