# SPDX-License-Identifier: Apache-2.0
"""One-time codes on a real sshd with PAM: typed on a terminal, once a day with `login`."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.one_time_codes import PASSWORD, PROGRAM, CodeHost, code_host
from tests.support.pty_command import on_terminal
from tests.support.terminal import require_text
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

__all__ = ["code_host"]


def _quiet(code_host: CodeHost, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command without a terminal."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        env={**os.environ, **code_host.env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(params=["paramiko", "openssh"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def _no_login(code_host: CodeHost) -> Iterator[None]:
    yield
    _quiet(code_host, "logout")


def test_password_and_code_are_typed_on_the_terminal(
    code_host: CodeHost, tmp_path: Path, transport: str
) -> None:
    inventory = code_host.inventory(tmp_path, transport=transport)
    argv = [*PROGRAM, "hosts", "check", code_host.host.name, f"--inventory={inventory}"]

    with on_terminal(argv, code_host.env) as command:
        code_host.answer(command)
        assert command.finish() == 0, command.shown

    assert PASSWORD.encode() not in command.shown
    require_text(command.shown.replace(b"\r\n", b"\n"))


def test_a_wrong_code_is_refused_after_one_question(
    code_host: CodeHost, tmp_path: Path, transport: str
) -> None:
    inventory = code_host.inventory(tmp_path, transport=transport)
    argv = [*PROGRAM, "hosts", "check", code_host.host.name, f"--inventory={inventory}"]

    with on_terminal(argv, code_host.env) as command:
        command.expect(b"Password: ")
        command.type(f"{PASSWORD}\r")
        command.expect(b"One-time password")
        command.type("000000\r")
        assert command.finish() == 120

    assert b"login as mlcube refused" in command.shown
    assert command.shown.count(b"One-time password") == 1


def test_without_a_terminal_the_error_names_login(
    code_host: CodeHost, tmp_path: Path, transport: str
) -> None:
    inventory = code_host.inventory(tmp_path, transport=transport)

    name, option = code_host.host.name, f"--inventory={inventory}"
    done = _quiet(code_host, "hosts", "check", name, option)

    assert done.returncode == 120
    assert f"mlcube-remote login {name}" in done.stdout + done.stderr


@pytest.mark.usefixtures("_no_login")
def test_one_login_serves_later_commands_without_a_terminal(
    code_host: CodeHost, tmp_path: Path
) -> None:
    name, inventory = code_host.host.name, code_host.inventory(tmp_path)
    option = f"--inventory={inventory}"
    with on_terminal([*PROGRAM, "login", name, "--for=10m", option], code_host.env) as command:
        code_host.answer(command)
        assert command.finish() == 0
    assert f"{name}: logged in as mlcube@127.0.0.1".encode() in command.shown

    asked = _quiet(code_host, "ps", f"--host={name}", option)
    assert asked.returncode == 0, asked.stderr
    again = _quiet(code_host, "login", name, option)
    assert f"{name}: is logged in already as mlcube@127.0.0.1" in again.stdout
    assert (
        f"logged in: {name} (mlcube@127.0.0.1" in _quiet(code_host, "hosts", "list", option).stdout
    )

    # Another user, or another check of the host's key, is another login.
    other = code_host.inventory(tmp_path, known_hosts=str(tmp_path / "none"))
    refused = _quiet(code_host, "ps", f"--host={name}", f"--inventory={other}")
    assert refused.returncode == 120
    assert "host key is unknown" in refused.stdout + refused.stderr

    code_host.inventory(tmp_path)
    assert _quiet(code_host, "logout", name, option).stdout == f"{name}: logged out\n"
    assert _quiet(code_host, "logout", name, option).stdout == f"{name}: is not logged in\n"
    assert _quiet(code_host, "ps", f"--host={name}", option).returncode == 120


def test_a_login_that_has_died_is_followed_by_a_normal_one(
    code_host: CodeHost, ssh_host: HostFactory
) -> None:
    host = ssh_host("docker")
    option = f"--inventory={host.inventory}"
    assert _quiet(code_host, "login", host.name, option).returncode == 0
    (record,) = (code_host.state / "mlcube-remote" / "ssh").glob("*.login")
    assert record.stat().st_mode & 0o777 == 0o600
    listed = subprocess.run(
        ["ssh", "-O", "check", "-S", str(record.with_suffix("")), "x"],
        capture_output=True,
        text=True,
        check=True,
    )
    pid = int(listed.stderr.split("pid=")[1].split(")")[0])
    os.kill(pid, signal.SIGKILL)

    assert "logged in" not in _quiet(code_host, "hosts", "list", option).stdout
    done = _quiet(code_host, "hosts", "check", host.name, option)

    assert done.returncode == 0
    assert not list(record.parent.iterdir())


def test_an_idle_login_ends_at_its_time(code_host: CodeHost, ssh_host: HostFactory) -> None:
    host = ssh_host("docker")
    option = f"--inventory={host.inventory}"

    assert _quiet(code_host, "login", host.name, "--for=1s", option).returncode == 0

    wait_for(lambda: "logged in" not in _quiet(code_host, "hosts", "list", option).stdout)
