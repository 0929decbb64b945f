# SPDX-License-Identifier: Apache-2.0
"""Real sshds: they drop or refuse clients, close connections, freeze, and forward to others."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import attrs
import pytest

from mlcube_remote.errors import (
    AuthenticationError,
    HostKeyError,
    HostUnfitError,
    StateUnknownError,
    UnreachableError,
)
from mlcube_remote.inventory.load import load
from mlcube_remote.inventory.model import Host, HostKeys, Inventory, TransportKind
from mlcube_remote.transport import connect
from mlcube_remote.transport.base import Connection
from tests.integration.transport.conftest import TRANSPORTS, connect_to

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

DOCKER = "docker"


def _described(host: SshHost, **more: object) -> Host:
    described = load(host.inventory).hosts[host.name]
    return attrs.evolve(described, **more)  # type: ignore[arg-type] # the tests' words


@contextlib.contextmanager
def _connected(host: Host, *others: Host) -> Iterator[Connection]:
    inventory = Inventory(hosts={each.name: each for each in (host, *others)}, groups={})
    with contextlib.closing(connect(host, inventory)) as connection:
        yield connection


def _try(host: Host, *others: Host) -> None:
    with _connected(host, *others):
        pass


def _ip(host: SshHost) -> str:
    container = host.container.get_wrapped_container()
    container.reload()
    networks = container.attrs["NetworkSettings"]["Networks"]
    address = next(iter(networks.values()))["IPAddress"]
    assert isinstance(address, str)
    return address


@pytest.mark.parametrize("flavour", ["one-startup", DOCKER])
def test_many_connections_to_one_sshd_all_succeed(ssh_host: HostFactory, flavour: str) -> None:
    host = ssh_host(flavour)

    def connect_once(_number: int) -> str:
        with contextlib.closing(connect_to(host)) as connection:
            return connection.call("mlcr_print_kind", "/etc").text

    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(connect_once, range(40))) == ["d\n"] * 40


def test_a_forced_command_is_reported(ssh_host: HostFactory) -> None:
    with (
        contextlib.closing(connect_to(ssh_host("forced-command"))) as connection,
        pytest.raises(HostUnfitError, match=r"does not give a usable shell: got 'no\\n'") as caught,
    ):
        connection.call("mlcr_print_kind", "/")
    assert caught.value.exit_code == 122


def test_an_account_without_a_shell_is_reported(ssh_host: HostFactory) -> None:
    host = ssh_host(DOCKER, private=True)
    host.exec(["usermod", "--shell", "/usr/sbin/nologin", "mlcube"])

    with (
        contextlib.closing(connect_to(host)) as connection,
        pytest.raises(HostUnfitError, match="usable shell: got 'This account is currently not av"),
    ):
        connection.call("mlcr_print_kind", "/")


def test_a_host_without_our_key_refuses_the_login(
    ssh_host: HostFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    host = ssh_host(DOCKER)
    described = _described(host, user="no-such-user")

    with pytest.raises(AuthenticationError, match="login as no-such-user refused") as caught:
        _try(described)
    assert str(host.place.identity) in str(caught.value)


def test_an_unknown_and_a_changed_key_are_refused_before_any_login(
    ssh_host: HostFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    host, other = ssh_host(DOCKER), ssh_host("dash")
    known = tmp_path_factory.mktemp("known") / "known_hosts"
    described = _described(host, known_hosts=str(known))

    with pytest.raises(HostKeyError, match="is unknown: ssh-ed25519 SHA256:"):
        _try(described)
    foreign = other.place.known_hosts.read_text().split(None, 1)[1]
    known.write_text(f"[127.0.0.1]:{host.port} {foreign}")
    with pytest.raises(HostKeyError, match="has CHANGED"):
        _try(attrs.evolve(described, host_keys=HostKeys.ACCEPT_NEW))
    known.unlink()
    with _connected(attrs.evolve(described, host_keys=HostKeys.ACCEPT_NEW)) as connection:
        assert connection.call("mlcr_print_kind", "/etc").ok


def test_a_stream_whose_session_is_killed_is_unknown_not_failed(ssh_host: HostFactory) -> None:
    host = ssh_host(DOCKER, private=True)
    started = threading.Event()

    with contextlib.closing(connect_to(host)) as connection:
        threading.Thread(
            target=lambda: (
                started.wait(20),
                # The process of this one connection, not the listener.
                host.exec(["sh", "-c", "pkill -9 -f '^sshd: mlcube'"]),
            )
        ).start()
        with pytest.raises(StateUnknownError, match="connection lost"):
            connection.stream(
                "mlcr_run_in",
                "/",
                "sh",
                "-c",
                "echo x; sleep 30",
                sink=lambda _s, _d: started.set(),
            )
    with contextlib.closing(connect_to(host)) as connection:
        assert connection.call("mlcr_print_kind", "/etc").ok


def test_a_frozen_host_is_detected(ssh_host: HostFactory) -> None:
    host = ssh_host(DOCKER, private=True)
    container = host.container.get_wrapped_container()

    # The engine's proxy keeps the TCP connection open.
    with _connected(_described(host, keepalive=1.0)) as connection:
        connection.call("mlcr_print_kind", "/")
        container.pause()
        try:
            started_at = time.monotonic()
            with pytest.raises(StateUnknownError, match="connection lost"):
                connection.call("mlcr_print_kind", "/")
            assert time.monotonic() - started_at < 20
            with pytest.raises(UnreachableError, match=r"did not answer within 1 s"):
                _try(_described(host, connect_timeout=1.0))
        finally:
            container.unpause()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_frozen_host_behind_a_jump_host_is_detected(
    ssh_host: HostFactory, tmp_path_factory: pytest.TempPathFactory, transport: TransportKind
) -> None:
    gate, inner = ssh_host(DOCKER), ssh_host(DOCKER, private=True)
    address = _ip(inner)
    known = tmp_path_factory.mktemp("known") / "known_hosts"
    known.write_text(f"{address} {inner.place.known_hosts.read_text().split(None, 1)[1]}")
    jump = _described(gate, transport=transport)
    keys = {"port": 22, "jump": gate.name, "known_hosts": str(known), "keepalive": 1.0}
    target = _described(inner, address=address, transport=transport, **keys)
    container = inner.container.get_wrapped_container()

    with _connected(target, jump) as connection:
        connection.call("mlcr_print_kind", "/")
        container.pause()
        try:
            # The jump host answers, and keeps its own connection to the host open.
            with pytest.raises(StateUnknownError, match="connection lost"):
                connection.call("mlcr_print_kind", "/", timeout=60.0)
        finally:
            container.unpause()


def test_a_jump_host_forwards_and_each_key_is_checked(
    ssh_host: HostFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    gate, inner = ssh_host(DOCKER), ssh_host("fish")
    address = _ip(inner)
    known = tmp_path_factory.mktemp("known") / "known_hosts"
    key = inner.place.known_hosts.read_text().split(None, 1)[1]
    known.write_text(f"{address} {key}")
    jump = _described(gate)
    target = attrs.evolve(
        _described(inner), address=address, port=22, jump=gate.name, known_hosts=str(known)
    )

    with _connected(target, jump) as connection:
        assert connection.call("mlcr_run_in", "/", "hostname").text.strip() == inner.name
        result = connection.rsync(["--", "host:/etc/hostname", str(known.parent / "name")])
        assert result.code == 0

    known.write_text("")
    with pytest.raises(HostKeyError, match=f"no line for {address}"):
        _try(target, jump)
    with pytest.raises(UnreachableError, match=f"the jump host could not reach {address}:1 "):
        _try(attrs.evolve(target, port=1), jump)


def test_a_jump_host_that_forbids_forwarding_is_reported(ssh_host: HostFactory) -> None:
    gate = ssh_host(DOCKER, AllowTcpForwarding="no")
    target = attrs.evolve(_described(gate), name="inner", address="127.0.0.1", jump=gate.name)

    with pytest.raises(UnreachableError, match="administratively prohibited"):
        _try(target, _described(gate))


def test_too_many_keys_are_reported(
    ssh_host: HostFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from mlcube_remote.sandbox import keys  # noqa: PLC0415 - makes keys as the hosts' own are

    host = ssh_host(DOCKER, MaxAuthTries=2)
    folder = tmp_path_factory.mktemp("keys")
    paths = [folder / name for name in ("a", "b", "c")]
    for path in paths:
        keys.ensure_key(path)

    with pytest.raises(AuthenticationError, match="disconnected after 2 attempts") as caught:
        _try(_described(host, identity_file=tuple(map(str, paths))))
    assert "too many keys" in (caught.value.hint or "")
