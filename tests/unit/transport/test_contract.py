# SPDX-License-Identifier: Apache-2.0
"""The connections that need no host pass the same checks as those to hosts.

The fake one gets answers from this machine's shell, which is enough to check how it passes on calls
and replies.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlcube_remote.inventory.model import LOCAL_HOST
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.fake import FakeConnection
from mlcube_remote.transport.local import LocalConnection
from tests.support.connection_contract import ConnectionContract, InputContract


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
