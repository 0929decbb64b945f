# SPDX-License-Identifier: Apache-2.0
"""The connections that need no host pass the same checks as those to hosts.

The fake one gets answers from this machine's shell, which is enough to check how it passes on calls
and replies.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlcube_remote.errors import StateUnknownError
from mlcube_remote.inventory.model import LOCAL_HOST
from mlcube_remote.transport.base import Connection, Reply, Stream
from mlcube_remote.transport.fake import FakeConnection
from mlcube_remote.transport.local import LocalConnection
from tests.support.connection_contract import ConnectionContract, InputContract, sh


def _run_in(directory: str, *argv: str) -> Reply:
    done = subprocess.run(
        argv, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return Reply(done.returncode, done.stdout, done.stderr)


def _print_kind(path: str) -> Reply:
    return Reply(0, b"d\n" if Path(path).is_dir() else b"f\n", b"")


class TestFakeConnection(ConnectionContract):
    @pytest.fixture
    def connection(self) -> Connection:
        fake = FakeConnection("gpu01")
        fake.answer("mlcr_run_in", _run_in)
        fake.answer("mlcr_print_kind", _print_kind)
        return fake


class TestLocalConnection(ConnectionContract, InputContract):
    @pytest.fixture
    def connection(self) -> Iterator[Connection]:
        with contextlib.closing(LocalConnection(LOCAL_HOST)) as connection:
            yield connection

    def test_nothing_is_called_after_the_end(self, connection: Connection) -> None:
        connection.close()
        with pytest.raises(StateUnknownError, match="the connection was closed"):
            connection.call("mlcr_print_kind", "/")

    def test_the_end_ends_what_runs(self, connection: Connection) -> None:
        began = time.monotonic()

        def close(_stream: Stream, _data: bytes) -> None:
            connection.close()

        # What ignores the signal keeps the pipes open.
        script = sh("(trap '' TERM; exec sleep 20) & trap 'exit 0' TERM; echo up; wait; sleep 60")
        with pytest.raises(StateUnknownError, match="the connection was closed"):
            connection.stream("mlcr_run_in", *script, sink=close)
        assert time.monotonic() - began < 15

    def test_the_terminal_of_the_user_does_not_interrupt_a_call(
        self, connection: Connection
    ) -> None:
        group = connection.call(
            "mlcr_run_in", *sh("read -r _ _ _ _ group _ </proc/self/stat; echo $group")
        )
        assert int(group.text) != os.getpgrp()
