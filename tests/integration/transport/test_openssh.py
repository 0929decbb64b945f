# SPDX-License-Identifier: Apache-2.0
"""The system's ssh as transport: each failure has its error, and no process is left behind."""

from __future__ import annotations

import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from mlcube_remote.errors import (
    AuthenticationError,
    HostKeyError,
    StateUnknownError,
    UnreachableError,
    UsageError,
)
from mlcube_remote.inventory.model import HostKeys, TransportKind
from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE
from mlcube_remote.secret import Secret
from mlcube_remote.transport import attempts
from tests.support.openssh_logins import authorize, connected, describe, run, try_login

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

DOCKER = "docker"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "RETRY_DELAY_S", 0.01)
    monkeypatch.setattr(attempts, "MAX_RETRY_DELAY_S", 0.01)


def test_an_unknown_and_a_changed_key_are_refused_before_any_login(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host, other = ssh_host(DOCKER, private=True), ssh_host("dash")
    known = tmp_path / "known hosts"
    described = describe(host, known_hosts=str(known))

    with pytest.raises(HostKeyError, match=rf"is unknown: no line for \[127.0.0.1\]:{host.port}"):
        try_login(described)
    foreign = other.place.known_hosts.read_text().split(None, 1)[1]
    known.write_text(f"[127.0.0.1]:{host.port} {foreign}")
    with pytest.raises(HostKeyError, match="has CHANGED"):
        try_login(attrs.evolve(described, host_keys=HostKeys.ACCEPT_NEW))
    known.write_text(f"@revoked {host.place.known_hosts.read_text()}")
    with pytest.raises(HostKeyError, match="is revoked"):
        try_login(attrs.evolve(described, host_keys=HostKeys.ACCEPT_NEW))
    assert host.logins() == 0
    known.unlink()
    try_login(attrs.evolve(described, host_keys=HostKeys.ACCEPT_NEW))
    try_login(described)


@pytest.mark.parametrize("words", ["no", "off", "accept-new\n  UserKnownHostsFile /dev/null"])
def test_ssh_config_does_not_switch_the_check_off(
    ssh_host: HostFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    host = ssh_host(DOCKER)
    config = tmp_path / "config"
    config.write_text(
        f"Host *\n  StrictHostKeyChecking {words}\n  NoHostAuthenticationForLocalhost yes\n"
        f"  GlobalKnownHostsFile /dev/null\n  UserKnownHostsFile {tmp_path}/none\n"
    )
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))

    with pytest.raises(HostKeyError, match="is unknown"):
        try_login(describe(host, known_hosts=None))


def test_accept_new_of_ssh_config_is_followed(
    ssh_host: HostFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ssh_host(DOCKER)
    config = tmp_path / "config"
    config.write_text(
        f"Host *\n  StrictHostKeyChecking accept-new\n  UserKnownHostsFile {tmp_path}/known\n"
    )
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))

    try_login(describe(host, known_hosts=None))

    assert (tmp_path / "known").read_text()


def test_a_refused_login_has_the_words_of_ssh(ssh_host: HostFactory) -> None:
    described = describe(ssh_host(DOCKER), user="no-such-user")

    with pytest.raises(AuthenticationError, match=r"login as no-such-user refused \(.*denied"):
        try_login(described)


def test_a_wrong_password_is_refused_and_not_shown(ssh_host: HostFactory) -> None:
    described = describe(
        ssh_host(DOCKER, PasswordAuthentication="yes"), user="root", identity_file=("/none",)
    )

    with pytest.raises(AuthenticationError, match="login as root refused") as caught:
        try_login(described, password=Secret("wrong-secret"))

    assert "wrong-secret" not in str(caught.value)


def test_a_password_logs_in(ssh_host: HostFactory) -> None:
    host = ssh_host(DOCKER, private=True, PasswordAuthentication="yes")
    host.exec(["sh", "-c", "echo 'mlcube:a $ecret \"word' | chpasswd"])

    try_login(describe(host, identity_file=("/none",)), password=Secret('a $ecret "word'))


def test_an_encrypted_pkcs8_key_logs_in_with_its_passphrase(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host(DOCKER, private=True)
    key = tmp_path / "key with spaces"
    run("ssh-keygen", "-q", "-t", "rsa", "-m", "PKCS8", "-N", "a phrase", "-f", str(key))
    public = key.with_name(key.name + ".pub").read_text()
    authorize(host, public)
    described = attrs.evolve(
        describe(host, identity_file=(str(key),)), transport=TransportKind.AUTO
    )
    notes: list[str] = []

    with connected(described, notes=notes, passphrase=Secret("a phrase")) as connection:
        assert connection.call("mlcr_print_kind", "/etc").ok

    assert notes == [f"connecting with OpenSSH: {key} is an encrypted key in PKCS#8 format"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"port": 1}, "nothing listens on this port"),
        ({"address": "no-such-name.invalid"}, "the name no-such-name.invalid does not resolve"),
    ],
)
def test_a_host_that_does_not_answer_is_unreachable(
    ssh_host: HostFactory, more: dict[str, object], words: str
) -> None:
    with pytest.raises(UnreachableError, match=words):
        try_login(describe(ssh_host(DOCKER), **more))


def test_a_frozen_host_is_detected(ssh_host: HostFactory) -> None:
    host = ssh_host(DOCKER, private=True)
    container = host.container.get_wrapped_container()

    with connected(describe(host, keepalive=1.0)) as connection:
        connection.call("mlcr_print_kind", "/")
        container.pause()
        try:
            started_at = time.monotonic()
            with pytest.raises(StateUnknownError, match="connection lost"):
                connection.call("mlcr_print_kind", "/")
            assert time.monotonic() - started_at < 20
            with pytest.raises(UnreachableError, match=r"did not answer within 1 s"):
                try_login(describe(host, connect_timeout=1.0))
        finally:
            container.unpause()


def test_a_stream_whose_session_is_killed_is_unknown_not_failed(ssh_host: HostFactory) -> None:
    host = ssh_host(DOCKER, private=True)

    def kill(*_: object) -> None:
        # The process of this one connection, not the listener.
        host.exec(["pkill", "-9", "-f", "^sshd: mlcube"])

    with connected(describe(host)) as connection:
        with pytest.raises(StateUnknownError, match="the shell on the host ended without a status"):
            connection.stream("mlcr_run_in", "/", "sh", "-c", "kill -9 $PPID", sink=_ignore)
        with pytest.raises(StateUnknownError, match="connection lost"):
            connection.stream("mlcr_run_in", "/", "sh", "-c", "echo x; sleep 30", sink=kill)


def _ignore(*_: object) -> None:
    """Drop the output."""


def test_a_status_of_255_is_a_status(ssh_host: HostFactory) -> None:
    with connected(describe(ssh_host(DOCKER))) as connection:
        assert connection.stream("mlcr_run_in", "/", "sh", "-c", "exit 255", sink=_ignore) == 255


def test_jump_hosts_are_checked_as_the_target_is(
    ssh_host: HostFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, inner = ssh_host(DOCKER), ssh_host("fish")
    container = inner.container.get_wrapped_container()
    container.reload()
    networks = container.attrs["NetworkSettings"]["Networks"]
    address = next(iter(networks.values()))["IPAddress"]
    known = tmp_path / "known_hosts"
    key = inner.place.known_hosts.read_text().split(None, 1)[1]
    known.write_text(f"{address} {key}")
    # Not even for a jump host.
    config = tmp_path / "config"
    config.write_text("Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))
    jump = describe(gate)
    target = describe(inner, address=address, port=22, jump=gate.name, known_hosts=str(known))

    with connected(target, jump) as connection:
        assert connection.call("mlcr_run_in", "/", "hostname").text.strip() == inner.name
        result = connection.rsync(["--", "host:/etc/hostname", str(tmp_path / "name")])
        assert result.code == 0

    with pytest.raises(HostKeyError, match="is unknown"):
        try_login(target, attrs.evolve(jump, known_hosts=str(tmp_path / "empty")))
    known.write_text("")
    with pytest.raises(HostKeyError, match="is unknown"):
        try_login(target, jump)
    with pytest.raises(UnreachableError, match=r"jump host does not forward|Connection refused"):
        try_login(attrs.evolve(target, port=1), jump)


def test_a_missing_ssh_is_named(ssh_host: HostFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    host = describe(ssh_host(DOCKER))
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(UsageError, match="ssh was not found on this machine"):
        try_login(host)


def test_options_of_a_login_on_a_terminal_have_no_effect(
    ssh_host: HostFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ssh_host(DOCKER)
    canary = tmp_path / "canary"
    config = tmp_path / "config"
    config.write_text(
        "Host *\n  RemoteCommand touch /tmp/x\n  RequestTTY force\n  LocalForward 1 localhost:1\n"
        f"  PermitLocalCommand yes\n  LocalCommand touch {shlex.quote(str(canary))}\n"
        "  ForwardAgent yes\n  BatchMode no\n  EscapeChar ~\n  LogLevel QUIET\n"
    )
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))

    try_login(describe(host))

    assert not canary.exists()


@pytest.mark.parametrize("flavour", ["one-startup", DOCKER])
def test_many_connections_to_one_sshd_all_succeed(ssh_host: HostFactory, flavour: str) -> None:
    host = describe(ssh_host(flavour))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: try_login(host), range(12)))


def test_a_server_with_only_old_algorithms_needs_the_users_word(
    ssh_host: HostFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = describe(ssh_host(DOCKER, Ciphers="aes128-cbc,aes256-cbc"))
    automatic = attrs.evolve(host, transport=TransportKind.AUTO)

    with pytest.raises(UnreachableError, match="its ciphers are aes128-cbc, aes256-cbc; expected"):
        try_login(automatic)
    with pytest.raises(UnreachableError, match=r"in common .*no matching cipher found"):
        try_login(host)

    config = tmp_path / "config"
    config.write_text("Host *\n  Ciphers +aes256-cbc\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))
    notes: list[str] = []
    with connected(automatic, notes=notes) as connection:
        assert connection.call("mlcr_print_kind", "/etc").ok
    assert notes == [
        "connecting with OpenSSH: the server has only ciphers that Paramiko does not use"
    ]
