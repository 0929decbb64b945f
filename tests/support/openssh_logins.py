# SPDX-License-Identifier: Apache-2.0
"""Connect to the hosts of tests with the system's ssh."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from mlcube_remote.inventory.load import load
from mlcube_remote.inventory.model import Host, Inventory, TransportKind
from mlcube_remote.secret import Secret
from mlcube_remote.transport import connect
from mlcube_remote.transport.base import Connection
from mlcube_remote.transport.questions import Answers

if TYPE_CHECKING:
    from tests.support.hosts import SshHost


def describe(host: SshHost, **more: object) -> Host:
    described = load(host.inventory).hosts[host.name]
    return attrs.evolve(described, transport=TransportKind.OPENSSH, **more)  # type: ignore[arg-type]


@contextlib.contextmanager
def connected(
    host: Host,
    *others: Host,
    notes: list[str] | None = None,
    password: Secret | None = None,
    passphrase: Secret | None = None,
    answers: Answers | None = None,
) -> Iterator[Connection]:
    inventory = Inventory(hosts={each.name: each for each in (host, *others)}, groups={})
    note = notes.append if notes is not None else lambda _: None
    with contextlib.closing(
        connect(
            host, inventory, note=note, password=password, passphrase=passphrase, answers=answers
        )
    ) as connection:
        yield connection


def try_login(host: Host, *others: Host, password: Secret | None = None) -> None:
    with connected(host, *others, password=password) as connection:
        assert connection.call("mlcr_print_kind", "/etc").text == "d\n"


def authorize(host: SshHost, public_keys: str) -> None:
    """Replace the keys that the host accepts."""
    (host.place.keys(host.name) / "authorized_keys").write_text(public_keys)
    done = host.exec(["cp", "/run/sandbox/authorized_keys", "/etc/ssh/authorized_keys"])
    assert done.exit_code == 0


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
