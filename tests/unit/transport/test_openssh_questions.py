# SPDX-License-Identifier: Apache-2.0
"""The system's ssh against a server that asks: prompts, and a login that is kept."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator

import attrs
import pytest

from mlcube_remote.errors import AuthenticationError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.load import empty
from mlcube_remote.inventory.model import Host, HostKeys, TransportKind
from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE, resolve
from mlcube_remote.transport import connect, kept_logins
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.openssh_link import keep_login, open_openssh_link
from mlcube_remote.transport.questions import Answers
from mlcube_remote.transport.selection import connect_over_ssh
from tests.support.answers import FakeScreen
from tests.support.ssh_server import Lab, Serve, SSHServer
from tests.support.waiting import wait_for

TWO = ((("Password: ", False), ("Code: ", True)),)


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> Iterator[None]:
    config = lab.folder / "config"
    config.write_text("IdentityFile none\nGlobalKnownHostsFile none\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with tempfile.TemporaryDirectory(prefix="mlcr-") as folder:
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        yield


def _target(lab: Lab, server: SSHServer) -> tuple[Host, Endpoint]:
    host = Host(
        name="gpu01",
        address="127.0.0.1",
        port=server.port,
        user="me",
        known_hosts=str(lab.known_hosts),
        host_keys=HostKeys.ACCEPT_NEW,
        jump="none",
    )
    return host, resolve(host, empty())


@pytest.fixture
def server(serve: Serve) -> SSHServer:
    methods = ("keyboard-interactive",)
    return serve(methods=methods, rounds=TWO, expected=["hunter2", "123456"])


def test_ssh_gets_each_answer(lab: Lab, server: SSHServer) -> None:
    screen = FakeScreen(["hunter2", "123456"])
    host, endpoint = _target(lab, server)

    link = open_openssh_link(host, endpoint, Credentials(answers=Answers(screen)))
    with contextlib.closing(link):
        assert link.is_active()

    assert [each.questions[0].text for each in screen.inquiries] == [
        "(me@127.0.0.1) Password: ",
        "(me@127.0.0.1) Code: ",
    ]


def test_a_reconnect_uses_the_password_and_refuses_to_ask_for_a_code(
    lab: Lab, server: SSHServer
) -> None:
    screen = FakeScreen(["hunter2", "123456"])
    credentials = Credentials(answers=Answers(screen))
    host, endpoint = _target(lab, server)
    open_openssh_link(host, endpoint, credentials).close()

    with pytest.raises(AuthenticationError, match="Code' again; one-time codes"):
        open_openssh_link(host, endpoint, credentials)

    assert len(screen.inquiries) == 2


def test_a_kept_login_serves_connections_without_a_question(lab: Lab, server: SSHServer) -> None:
    screen = FakeScreen(["hunter2", "123456"])
    host, endpoint = _target(lab, server)
    login = keep_login(host, endpoint, Credentials(answers=Answers(screen)), 60)
    try:
        assert [each.path for each in kept_logins.list_logins()] == [login.path]
        attempts = len(server.attempts)
        for _ in range(2):
            notes: list[str] = []
            connect_over_ssh(host, endpoint, Credentials(), notes.append).close()
            assert notes == ["connecting with OpenSSH: mlcube-remote login keeps a connection"]
        assert len(server.attempts) == attempts
        assert len(server.transports) == 1
    finally:
        kept_logins.end(login)

    assert kept_logins.list_logins() == ()
    with pytest.raises(AuthenticationError):
        connect_over_ssh(host, endpoint, Credentials(), lambda _: None)


def test_a_login_whose_connection_broke_is_said_and_replaced(lab: Lab, server: SSHServer) -> None:
    host, endpoint = _target(lab, server)
    answers = Answers(FakeScreen(["hunter2", "123456"]))
    keep_login(host, endpoint, Credentials(answers=answers), 60)
    server.transports[0].close()
    wait_for(lambda: kept_logins.list_logins() == ())  # ssh notices the end a moment later
    notes: list[str] = []
    again = Credentials(answers=Answers(FakeScreen(["hunter2", "123456"])))

    connect_over_ssh(host, endpoint, again, notes.append).close()

    assert notes[0].startswith("its login has ended (the connection broke")
    assert kept_logins.list_logins() == ()


@pytest.mark.parametrize("transport", [TransportKind.PARAMIKO, TransportKind.OPENSSH])
def test_a_hint_names_an_account_as_it_was_typed(
    lab: Lab, server: SSHServer, transport: TransportKind
) -> None:
    host, _ = _target(lab, server)
    host = attrs.evolve(host, name="me_gpu01", typed="me@gpu01", transport=transport)

    with pytest.raises(AuthenticationError) as problem:
        connect(host, empty())

    assert "mlcube-remote login me@gpu01" in (problem.value.hint or "")
