# SPDX-License-Identifier: Apache-2.0
"""Fabric is imported only if it is used; a connection of the caller stays the caller's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import attrs
import paramiko
import pytest

from mlcube_remote.api.arguments import access
from mlcube_remote.api.connections import choose_connection
from mlcube_remote.app.inventory import open_inventory, select_hosts
from mlcube_remote.errors import ConnectError, StateUnknownError
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.borrowed import BorrowedConnections, BorrowedLink

CUBE = "name: x\ndocker: {image: x}\ntasks: {one: {}}\n"


def python(script: str, *arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "words",
    [("--help",), ("run", "--host=user@127.0.0.1:1", "--task=one"), ("ps", "--host=127.0.0.1")],
)
def test_no_command_imports_fabric(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "mlcube.yaml").write_text(CUBE)
    (tmp_path / "hosts.yaml").write_text("hosts: {127.0.0.1: {port: 1, connect_timeout: 1}}\n")
    script = (
        "import sys\nfrom mlcube_remote.cli.main import execute\nexecute(sys.argv[1:])\n"
        "print('paramiko' in sys.modules, {'fabric', 'invoke'} & set(sys.modules))"
    )
    connects = words != ("--help",)
    assert python(script, *words, folder=tmp_path) == f"{connects} set()"


def test_fabric_finds_invoke_although_paramiko_was_imported_without_it(tmp_path: Path) -> None:
    script = (
        "import mlcube_remote.transport.paramiko_import, sys\n"
        "assert 'invoke' not in sys.modules\n"
        "import fabric, paramiko\n"
        "config = paramiko.SSHConfig.from_text('Match exec true\\n  User alice\\n')\n"
        "print(fabric.Connection('gpu01', config=fabric.Config(ssh_config=config)).user)"
    )
    assert python(script, folder=tmp_path) == "alice"


@attrs.define
class FakeConnection:
    """The attributes of a ``fabric.Connection`` that is open."""

    original_host: str
    user: str = "alice"
    port: int = 22
    transport: Any = None
    is_connected: bool = True

    def open(self) -> None:
        raise AssertionError("a connection of the caller must not be opened")


@pytest.mark.parametrize(
    ("connection", "name"),
    [
        (FakeConnection("gpu01"), "gpu01"),
        # Not the account that the inventory has for this name.
        (FakeConnection("gpu01", user="bob"), "bob@gpu01"),
        (FakeConnection("gpu01", port=2222), "alice@gpu01:2222"),
        (FakeConnection("unknown"), "alice@unknown"),
        (FakeConnection("local"), "alice@local"),
        (FakeConnection("all"), "alice@all"),
        (FakeConnection("::1", port=23), "alice@[::1]:23"),
    ],
)
def test_a_connection_has_the_name_of_its_host_if_the_inventory_means_the_same_account(
    tmp_path: Path, connection: FakeConnection, name: str
) -> None:
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text("hosts: {gpu01: {user: alice, port: 22}, gpu02: {user: alice}}\n")
    where, _ = choose_connection(connection, access((), inventory, None, None))
    assert where.hosts.names == (name,)
    assert select_hosts(open_inventory(str(inventory)), [name])


def test_a_closed_connection_of_the_caller_is_not_opened_again() -> None:
    connection = FakeConnection("gpu01", transport=Mock(spec=paramiko.Transport))
    jobs = BorrowedConnections(connection=connection, open_second=None)
    host = Host(name="gpu01", keepalive=0)
    jobs.connect(host, print).close()
    connection.transport.close.assert_not_called()
    connection.is_connected = False
    with pytest.raises(ConnectError, match="only its owner can open it again"):
        jobs.connect(host, print)


def test_a_closed_link_ends_its_sessions_and_opens_no_other() -> None:
    transport = Mock(spec=paramiko.Transport)
    session = transport.open_session.return_value
    session.closed = False
    link = BorrowedLink("gpu01", transport)
    link.open_session("true", 5)
    link.close()
    session.close.assert_called_once()
    transport.close.assert_not_called()
    assert not link.is_active()
    with pytest.raises(StateUnknownError, match="connection lost"):
        link.open_session("true", 5)
