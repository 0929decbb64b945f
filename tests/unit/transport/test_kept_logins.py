# SPDX-License-Identifier: Apache-2.0
"""Which login a command finds, and what is written down about it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.transport import kept_logins
from mlcube_remote.transport.control_directory import control_directory
from tests.support.waiting import wait_for

ENDPOINT = Endpoint(
    hostname="10.0.0.1",
    port=22,
    user="me",
    alias="gpu01",
    user_known_hosts_files=("/h/known",),
    identity_files=("/h/key",),
    overrides={"Port": "22"},
)
OTHER = attrs.evolve(ENDPOINT, alias="jump", hostname="10.0.0.9")


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="mlcr-") as folder:
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        yield


@pytest.mark.parametrize(
    "change",
    [
        {"alias": "gpu02"},
        {"hostname": "10.0.0.2"},
        {"port": 2222},
        {"user": "you"},
        {"user_known_hosts_files": ("/h/other",)},
        {"global_known_hosts_files": ("/etc/known",)},
        {"host_key_alias": "cluster"},
        {"identity_files": ()},
        {"overrides": {"Port": "22", "IdentitiesOnly": "yes"}},
        {"proxy_command": "nc %h %p"},
        {"proxy_jump": (OTHER,)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_settings_are_another_login(change: dict[str, object]) -> None:
    changed = attrs.evolve(ENDPOINT, **change)  # type: ignore[arg-type]

    assert kept_logins.login_path(changed) != kept_logins.login_path(ENDPOINT)
    assert kept_logins.login_path(ENDPOINT) == kept_logins.login_path(attrs.evolve(ENDPOINT))


def _record(pid: int, idle_s: float = 60.0) -> kept_logins.KeptLogin:
    path = kept_logins.login_path(ENDPOINT)
    return kept_logins.record("gpu01", ENDPOINT, path, pid, idle_s)


def test_a_login_is_listed_while_its_master_lives() -> None:
    login = _record(os.getpid())
    assert kept_logins.list_logins() == ()

    with socket.socket(socket.AF_UNIX) as master:
        master.bind(login.path)
        (found,) = kept_logins.list_logins()
        assert attrs.evolve(found, last_use=login.last_use) == login
        assert found.until == pytest.approx(time.time() + 60, abs=5)

        ended = subprocess.Popen([sys.executable, "-c", ""])
        _record(ended.pid)
        # First as a zombie, then gone.
        wait_for(lambda: kept_logins.list_logins() == ())
        ended.wait()
        assert kept_logins.list_logins() == ()


def test_a_use_moves_the_end() -> None:
    login = _record(os.getpid())
    file = Path(f"{login.path}.login")
    os.utime(file, (1000, 1000))

    kept_logins.touch(login.path)

    assert file.stat().st_mtime == pytest.approx(time.time(), abs=5)


def test_the_record_is_private_and_no_secret() -> None:
    file = Path(f"{_record(os.getpid()).path}.login")

    assert file.stat().st_mode & 0o777 == 0o600
    assert control_directory().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("age", "words"),
    [(0, "the connection broke, or its process was ended"), (100, "it was kept until 20")],
)
def test_a_login_that_has_ended_is_said_once(age: float, words: str) -> None:
    file = Path(f"{_record(os.getpid()).path}.login")
    os.utime(file, (time.time() - age, time.time() - age))
    notes: list[str] = []

    assert kept_logins.find(ENDPOINT, notes.append) is None
    assert kept_logins.find(ENDPOINT, notes.append) is None

    (note,) = notes
    assert note.startswith(f"its login has ended ({words}")
    assert not file.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "x"}', "\x00"])
def test_a_damaged_record_is_no_login(text: str) -> None:
    file = Path(f"{_record(os.getpid()).path}.login")
    file.write_text(text)

    assert kept_logins.list_logins() == ()
    assert kept_logins.find(ENDPOINT) is None
