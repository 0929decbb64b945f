# SPDX-License-Identifier: Apache-2.0
"""``login`` and ``logout``, as far as no host answers."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlcube_remote import app
from mlcube_remote.app.kept_logins import LoginResult
from mlcube_remote.cli.main import run
from mlcube_remote.errors import InventoryError, UsageError
from mlcube_remote.inventory.load import empty
from mlcube_remote.inventory.model import Host
from mlcube_remote.inventory.sshconfig import resolve
from mlcube_remote.transport import kept_logins
from mlcube_remote.transport.kept_logins import KeptLogin


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="mlcr-") as folder:
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        yield


@pytest.fixture
def kept() -> Iterator[KeptLogin]:
    """Record a login of a host that is in no inventory; its master is a socket of this process."""
    endpoint = resolve(Host(name="gpu07", address="192.0.2.7", user="me"), empty())
    path = kept_logins.login_path(endpoint)
    login = kept_logins.record("gpu07", endpoint, path, os.getpid(), 3600)
    with socket.socket(socket.AF_UNIX) as master:
        master.bind(path)
        yield login


@pytest.mark.usefixtures("cube_directory")
def test_a_host_that_cannot_be_reached_has_the_exit_code_of_a_connection(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["login", "both"]) == 120

    shown = capsys.readouterr().err
    assert shown.count("nothing listens on this port") == 2
    assert shown.index("error: a: ") < shown.index("error: b: ")


def test_only_openssh_keeps_a_login(empty_directory: Path) -> None:
    (empty_directory / "hosts.yaml").write_text("hosts: {a: {transport: paramiko}}\n")
    with pytest.raises(UsageError, match="is this machine"):
        run(["login", "local"])
    with pytest.raises(UsageError, match="only OpenSSH keeps a login") as caught:
        run(["login", "a"])
    assert "transport: auto" in (caught.value.hint or "")


@pytest.mark.usefixtures("cube_directory")
def test_logins_are_listed_and_ended(capsys: pytest.CaptureFixture[str], kept: KeptLogin) -> None:
    until = kept_logins.format_time(kept.until)
    run(["hosts", "list"])
    assert f"logged in: gpu07 (me@192.0.2.7:22) until {until}" in capsys.readouterr().out
    run(["hosts", "list", "--output=json"])
    assert '"address": "me@192.0.2.7:22"' in capsys.readouterr().out

    run(["logout", "gpu07", "a"])
    assert capsys.readouterr().out == "gpu07: logged out\na: is not logged in\n"
    run(["logout"])
    assert capsys.readouterr().out == "no host is logged in\n"
    with pytest.raises(InventoryError, match="gpu07"):
        run(["logout", "gpu07"])


@pytest.mark.parametrize(
    ("words", "warns"), [([], False), (["--for=1h"], False), (["--for=30m"], True)]
)
def test_a_time_for_a_login_that_is_kept_is_not_silently_ignored(
    words: list[str],
    warns: bool,
    kept: KeptLogin,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = LoginResult(host="gpu07", login=kept, is_new=False)
    monkeypatch.setattr(app.kept_logins, "log_in", lambda *_: [result])
    assert run(["login", "gpu07", *words]) == 0
    shown = capsys.readouterr()
    assert "is logged in already" in shown.out
    assert ("to change it: mlcube-remote logout gpu07" in shown.err) == warns
