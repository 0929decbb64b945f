# SPDX-License-Identifier: Apache-2.0
"""A session is opened with the login, if the server is OpenSSH; nothing depends on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import attrs
import paramiko
import pytest

from mlcube_remote.errors import AuthenticationError
from mlcube_remote.inventory.model import Host, HostKeys
from mlcube_remote.secret import Secret
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.link import SessionRefusedError
from mlcube_remote.transport.paramiko_link import ParamikoLink, open_paramiko_link
from tests.support.ssh_server import Lab, Serve, SSHServer
from tests.support.waiting import wait_for

OPENSSH = "SSH-2.0-OpenSSH_9.9"


@contextlib.contextmanager
def logged_in(
    lab: Lab, server: SSHServer, password: str | None = None, **more: Any
) -> Iterator[ParamikoLink]:
    """Log in as a run does."""
    link = open_paramiko_link(
        Host(name="h1"),
        lab.endpoint(server.port, host_keys=HostKeys.ACCEPT_NEW, **more),
        Credentials(password=None if password is None else Secret(password)),
        lab.notes.append,
        opens_session=True,
    )
    with contextlib.closing(link):
        yield link


def greet(channel: paramiko.Channel) -> None:
    channel.sendall(b"hello")


def output(link: ParamikoLink) -> bytes:
    """Open a session, and return what it prints."""
    with contextlib.closing(link.open_session("greet", 10.0)) as session:
        data = b""
        while not session.is_over:
            data += b"".join(part for _, part in session.receive(10.0))
    return data


@pytest.fixture
def server(serve: Serve, lab: Lab) -> SSHServer:
    """Return a server that says it is OpenSSH, and handles one message after the other as it."""
    server = serve(greet, version=OPENSSH)
    server.accepted.append(lab.client_key.asbytes())
    return server


def test_a_session_is_opened_with_the_login(lab: Lab, server: SSHServer) -> None:
    with logged_in(lab, server) as link:
        wait_for(lambda: server.opened == 1)
        assert output(link) == b"hello"
        assert server.opened == 1
        assert output(link) == b"hello", "the second session"
        assert server.opened == 2
    assert server.commands == [b"greet", b"greet"]


@pytest.mark.parametrize("version", ["SSH-2.0-Go", "SSH-2.0-dropbear_2022.83", None])
def test_another_server_gets_a_session_after_the_login(
    lab: Lab, serve: Serve, version: str | None
) -> None:
    server = serve(greet, version=version, accepted=[lab.client_key.asbytes()])
    with logged_in(lab, server) as link:
        assert server.opened == 0
        assert output(link) == b"hello"
        assert server.opened == 1


def test_a_session_that_is_refused_is_asked_for_again(lab: Lab, server: SSHServer) -> None:
    server.refuses = [1]
    with logged_in(lab, server) as link:
        assert output(link) == b"hello"
    assert server.opened == 2


def test_a_server_that_allows_no_session_says_so(lab: Lab, server: SSHServer) -> None:
    server.refuses = range(1, 9)
    with logged_in(lab, server) as link, pytest.raises(SessionRefusedError):
        link.open_session("greet", 10.0)


def test_a_login_that_is_refused_opens_no_session(lab: Lab, server: SSHServer) -> None:
    del server.accepted[:]
    with pytest.raises(AuthenticationError, match="id_client"), logged_in(lab, server):
        pass
    assert server.opened == 0


@pytest.mark.parametrize("in_addition", [True, False], ids=["in addition", "instead"])
def test_a_password_after_the_key_logs_in(
    lab: Lab, server: SSHServer, *, in_addition: bool
) -> None:
    server.methods, server.requires_all, server.password = ("publickey", "password"), True, "secret"
    if not in_addition:
        del server.accepted[:]
    with logged_in(lab, server, "secret") as link:
        assert output(link) == b"hello"
        assert output(link) == b"hello"
    assert server.opened == 2


def test_only_the_first_key_brings_a_session(
    lab: Lab, server: SSHServer, host_keys: dict[str, paramiko.PKey]
) -> None:
    """OpenSSH writes to its log for each session that comes before the login is complete."""
    other = lab.folder / "id_other"
    host_keys["ecdsa"].write_private_key_file(str(other))
    keys = (str(other), str(lab.identity))
    with logged_in(lab, server, identity_files=keys) as link:
        assert len(server.attempts) == 2
        assert server.opened == 0
        assert output(link) == b"hello"


def test_a_jump_host_gets_no_session(lab: Lab, server: SSHServer, serve: Serve) -> None:
    """It may allow none: only its forwarding is needed, which this server refuses."""
    jump = lab.endpoint(server.port, host_keys=HostKeys.ACCEPT_NEW, alias="jump")
    endpoint = attrs.evolve(lab.endpoint(1), proxy_jump=(jump,))
    with pytest.raises(Exception, match="h1"):
        open_paramiko_link(
            Host(name="h1"), endpoint, Credentials(), lab.notes.append, opens_session=True
        )
    assert server.attempts
    assert server.opened == 0
