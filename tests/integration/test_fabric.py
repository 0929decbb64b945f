# SPDX-License-Identifier: Apache-2.0
"""Fabric on real hosts: our login below its connections, and cubes on them."""

from __future__ import annotations

import io
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import fabric
import paramiko
import pytest
import yaml

import mlcube_remote
from mlcube_remote.errors import (
    HostKeyError,
    InventoryError,
    StateUnknownError,
    UnreachableError,
    UsageError,
)
from mlcube_remote.fabric import Connection
from mlcube_remote.sandbox.container import SSH_PORT
from mlcube_remote.transport.borrowed import BorrowedConnections
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

GREET = shell_task(
    'echo "hello $(cat "${0#*=}")" >"${1#*=}"; echo said',
    inputs={"name": {**FILE, "default": "name"}},
    outputs={"greeting": {**FILE, "default": "greeting"}},
)
SLEEP = shell_task("echo began; sleep 5; echo ended")


@pytest.fixture(autouse=True)
def _no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    # Fabric passes standard input on to commands.
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    root = write_cube(tmp_path / "cube", {"greet": GREET, "sleep": SLEEP})
    (root / "workspace/name").write_text("Alice\n")
    return root


@pytest.fixture
def host(ssh_host: HostFactory) -> SshHost:
    return ssh_host("docker")


@pytest.fixture
def connection(host: SshHost) -> Iterator[Connection]:
    with Connection(host.name, inventory=host.inventory) as connection:
        yield connection


def with_settings(host: SshHost, path: Path, **settings: object) -> Path:
    """Write an inventory in which the host has other settings; return its path."""
    inventory: dict[str, Any] = yaml.safe_load(host.inventory.read_text())
    inventory["hosts"][host.name] = {**(inventory["hosts"][host.name] or {}), **settings}
    path.write_text(yaml.safe_dump(inventory))
    return path


def stock(host: SshHost) -> fabric.Connection:
    """Return a connection that Fabric itself opens; it accepts any host key."""
    known = paramiko.SSHConfig.from_text(
        f"Host {host.name}\n  HostName 127.0.0.1\n  Port {host.port}\n  User {host.host.user}\n"
    )
    return fabric.Connection(
        host.name,
        config=fabric.Config(ssh_config=known),
        connect_kwargs={"key_filename": str(host.place.identity), "allow_agent": False},
    )


def connect_to(port: int) -> socket.socket:
    """Connect to a tunnel; Fabric listens some time after it has returned."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_commands_files_and_tunnels_share_one_login(ssh_host: HostFactory, tmp_path: Path) -> None:
    host = ssh_host("docker", private=True)
    local = tmp_path / "note"
    local.write_text("from here\n")
    with Connection(host.name, inventory=host.inventory) as connection:
        assert connection.run("hostname", hide=True).stdout.strip() == host.name
        assert connection.run("exit 3", hide=True, warn=True).exited == 3
        connection.put(str(local), "note")
        back = io.BytesIO()
        connection.get("note", back)
        assert back.getvalue() == b"from here\n"
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            port = chosen.getsockname()[1]
        with (
            connection.forward_local(port, remote_port=SSH_PORT, remote_host="127.0.0.1"),
            connect_to(port) as tunnel,
        ):
            assert tunnel.recv(1000).startswith(b"SSH-")
    assert not connection.is_connected
    assert host.logins() == 1
    assert connection.original_host == host.name
    # It opens again, also its SFTP session.
    connection.put(str(local), "note2")
    assert connection.run("cat note2", hide=True).stdout == "from here\n"
    assert host.logins() == 2
    connection.close()
    connection.close()


def test_sudo_answers_the_question_for_the_password(connection: Connection) -> None:
    # The images have no sudo: this one asks for a password, and prints what it got.
    fake = r"""#!/bin/sh
printf '%s' "$3" >&2; read -r given; shift 3; echo "$given: $*"
"""
    connection.run("mkdir -p bin", hide=True)
    connection.put(io.StringIO(fake), "bin/sudo")
    connection.run("chmod +x bin/sudo", hide=True)
    path = {"PATH": "$HOME/bin:$PATH"}
    done = connection.sudo("id -u", hide=True, password="secret", env=path, in_stream=False)
    assert done.stdout == "secret: --preserve-env=PATH id -u\n"


def test_an_unknown_and_a_changed_key_are_refused_before_any_login(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host, other = ssh_host("docker", private=True), ssh_host("dash")
    known = tmp_path / "known_hosts"
    inventory = with_settings(host, tmp_path / "hosts.yaml", known_hosts=str(known))
    connection = Connection(host.name, inventory=inventory)

    with pytest.raises(HostKeyError, match="is unknown") as unknown:
        connection.run("true")
    assert unknown.value.hint is not None
    foreign = other.place.known_hosts.read_text().split(None, 1)[1]
    known.write_text(f"[127.0.0.1]:{host.port} {foreign}")
    with pytest.raises(HostKeyError, match="has CHANGED"):
        connection.open()
    with pytest.raises(HostKeyError, match="has CHANGED"):
        connection.put(io.StringIO("x"), "x")
    assert not connection.is_connected
    assert host.logins() == 0
    # Fabric itself logs in to the same host.
    with stock(host) as careless:
        assert careless.run("hostname", hide=True).ok
    assert host.logins() == 1
    known.write_text(host.place.known_hosts.read_text())
    assert connection.run("hostname", hide=True).ok
    connection.close()


def test_it_goes_through_the_jump_hosts_of_the_inventory(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    gate, inner = ssh_host("docker"), ssh_host("dash")
    container = inner.container.get_wrapped_container()
    container.reload()
    (network, *_) = container.attrs["NetworkSettings"]["Networks"].values()
    known = tmp_path / "known_hosts"
    known.write_text(
        f"{network['IPAddress']} {inner.place.known_hosts.read_text().split(None, 1)[1]}"
    )
    hosts = {
        **yaml.safe_load(gate.inventory.read_text())["hosts"],
        "inside": {
            **yaml.safe_load(inner.inventory.read_text())["hosts"][inner.name],
            "address": network["IPAddress"],
            "port": 22,
            "jump": gate.name,
            "known_hosts": str(known),
        },
    }
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(yaml.safe_dump({"hosts": hosts}))
    with Connection("inside", inventory=inventory) as connection:
        assert connection.run("hostname", hide=True).stdout.strip() == inner.name
    known.write_text("")
    with pytest.raises(HostKeyError, match="is unknown"):
        connection.open()


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("local", UsageError, "is this machine"),
        ("all_of_them", UsageError, "means 2 hosts, expected one"),
        ("nowhere", InventoryError, "is not in hosts.yaml"),
    ],
)
def test_a_name_that_is_not_one_host_is_an_error_of_ours(
    ssh_host: HostFactory, inventory_of: Any, name: str, error: type[Exception], words: str
) -> None:
    inventory = inventory_of(ssh_host("docker"), ssh_host("dash"))
    with pytest.raises(error, match=words):
        Connection(name, inventory=inventory)


def test_a_host_for_openssh_only_is_refused(host: SshHost, tmp_path: Path) -> None:
    inventory = with_settings(host, tmp_path / "hosts.yaml", transport="openssh")
    with pytest.raises(UnreachableError, match="Fabric can only use Paramiko") as problem:
        Connection(host.name, inventory=inventory).open()
    assert "transport: auto" in str(problem.value.hint)


def is_usable(connection: Connection) -> bool:
    try:
        return bool(connection.run("echo usable", hide=True).stdout == "usable\n")
    except paramiko.ChannelException:
        return False


@pytest.mark.parametrize("flavour", ["docker", "one-session"])
def test_a_cube_runs_on_our_connection_and_leaves_it_open(
    ssh_host: HostFactory, cube: Path, flavour: str
) -> None:
    host = ssh_host(flavour, private=True)
    with Connection(host.name, inventory=host.inventory) as connection:
        before = connection.transport
        for _ in range(2):
            done = mlcube_remote.run(cube, connection=connection, tasks="greet")
            assert done.succeeded, [str(job.error) for job in done.jobs]
            assert (cube / "workspace/greeting").read_text() == "hello Alice\n"
            assert connection.is_connected
        assert done.jobs[0].host == host.name
        assert before is None
        # The server frees the only session a moment after its end.
        wait_for(lambda: is_usable(connection))
    if flavour == "docker":
        assert host.logins() == 1


def test_a_cube_runs_on_a_connection_that_fabric_opened(ssh_host: HostFactory, cube: Path) -> None:
    host = ssh_host("docker", private=True)
    with stock(host) as connection:
        with pytest.raises(UsageError, match="is not connected"):
            mlcube_remote.run(cube, connection=connection, tasks="greet")
        connection.open()
        done = mlcube_remote.run(cube, connection=connection, tasks="greet")
        assert done.succeeded, [str(job.error) for job in done.jobs]
        # The inventory of this call does not know the host, so its account is its name.
        assert done.jobs[0].host == f"{host.host.user}_{host.name}_{host.port}"
        assert (cube / "workspace/greeting").read_text() == "hello Alice\n"
        assert connection.run("echo usable", hide=True).stdout == "usable\n"
    assert host.logins() == 1


def test_a_connection_replaces_hosts_and_must_be_one(cube: Path, connection: Connection) -> None:
    with pytest.raises(UsageError, match="hosts and connection cannot be combined"):
        mlcube_remote.run(cube, hosts="a", connection=connection, tasks="greet")
    wrong: Any = "gpu01"
    with pytest.raises(UsageError, match=r"expected a fabric\.Connection, got str"):
        mlcube_remote.run(cube, connection=wrong, tasks="greet")
    assert not connection.is_connected


@pytest.mark.parametrize("is_ours", [True, False], ids=["ours", "stock"])
def test_a_broken_connection_is_opened_again_only_if_it_is_ours(
    host: SshHost, cube: Path, is_ours: bool
) -> None:
    connection = Connection(host.name, inventory=host.inventory) if is_ours else stock(host)
    with connection:
        connection.open()
        seen: list[str] = []

        def break_once(event: Any) -> None:
            if b"began" in getattr(event, "data", b"") and not seen:
                seen.append("began")
                connection.transport.sock.close()

        done = mlcube_remote.run(
            cube,
            connection=connection,
            inventory=host.inventory,
            tasks="sleep",
            on_event=break_once,
        )
        assert seen
        (job,) = done.jobs
        if is_ours:
            assert done.succeeded, str(job.error)
            assert connection.is_connected
        else:
            assert "only its owner can open it again" in str(job.error)
            again = mlcube_remote.attach(done.run_id)
            assert again.succeeded


def test_a_host_that_is_gone_ends_the_run_on_a_connection_of_fabric(
    ssh_host: HostFactory,
) -> None:
    host = ssh_host("docker", private=True)
    described = attrs.evolve(host.host, keepalive=0.3)
    container = host.container.get_wrapped_container()
    with stock(host) as connection:
        connection.open()
        jobs = BorrowedConnections(connection=connection, open_second=None)
        used = jobs.connect(described, print)
        assert used.call("mlcr_print_boot_id").ok
        time.sleep(2)
        assert used.call("mlcr_print_boot_id").ok, "a host that answers is not gone"
        container.pause()
        try:
            began = time.monotonic()
            with pytest.raises(StateUnknownError):
                used.call("mlcr_print_boot_id")
            assert time.monotonic() - began < 20
        finally:
            container.unpause()
        assert connection.is_connected
        assert connection.run("echo usable", hide=True).stdout == "usable\n"
