# SPDX-License-Identifier: Apache-2.0
"""``hosts add``: the key is shown, and compared by the user, before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import paramiko
import pytest

from mlcube_remote.cli.main import run
from mlcube_remote.errors import HostKeyError, InventoryError, UnreachableError, UsageError
from mlcube_remote.transport.host_keys import fingerprint
from tests.support.pty_command import PROGRAM, on_terminal
from tests.support.ssh_server import Serve, SSHServer


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with all files of the user."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("MLCUBE_REMOTE_INVENTORY", raising=False)
    (tmp_path / "ssh_config").write_text(
        f"Host *\nUserKnownHostsFile {tmp_path / 'known_hosts'}\nGlobalKnownHostsFile none\n"
    )
    monkeypatch.setenv("MLCUBE_REMOTE_SSH_CONFIG", str(tmp_path / "ssh_config"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def inventory(home: Path) -> Path:
    return home / "config" / "mlcube-remote" / "hosts.yaml"


def print_of(key: paramiko.PKey) -> str:
    return fingerprint(key.asbytes())


def address(server: SSHServer) -> str:
    return f"ada@127.0.0.1:{server.port}"


def test_the_user_compares_the_key_on_the_terminal(
    home: Path, serve: Serve, host_keys: dict[str, paramiko.PKey]
) -> None:
    server = serve()
    argv = [*PROGRAM, "hosts", "add", "gpu01", address(server)]
    with on_terminal(argv) as command:
        command.expect(f"\n  ssh-ed25519 {print_of(host_keys['ed25519'])}\r\n".encode())
        command.expect(b"Is it the same?")
        command.type("n\n")
        assert command.finish() == 2
    assert not inventory(home).exists()
    assert not (home / "known_hosts").exists()
    with on_terminal(argv) as command:
        command.expect(b"Is it the same?")
        command.type("y\n")
        command.expect(b"next: mlcube-remote hosts check gpu01")
        assert command.finish() == 0
    assert inventory(home).read_text() == (
        "# yaml-language-server: $schema=.hosts-schema.json\nhosts:\n  gpu01:\n"
        f"    address: 127.0.0.1\n    user: ada\n    port: {server.port}\n"
    )
    assert (inventory(home).parent / ".hosts-schema.json").exists()
    assert (home / "known_hosts").read_text().startswith(f"[127.0.0.1]:{server.port} ssh-ed25519 ")
    assert server.attempts == [], "there was no login"


def test_without_a_terminal_the_fingerprint_is_needed(
    home: Path,
    serve: Serve,
    host_keys: dict[str, paramiko.PKey],
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["hosts", "add", "gpu01", address(serve()), "--yes"]
    with pytest.raises(UsageError, match="--yes needs --fingerprint"):
        run(words)
    with pytest.raises(UsageError, match="there is no terminal"):
        run(words[:-1])
    with pytest.raises(HostKeyError, match="expected SHA256:x"):
        run([*words, "--fingerprint=SHA256:x"])
    assert not inventory(home).exists()
    assert not (home / "known_hosts").exists()
    run([*words, f"--fingerprint={print_of(host_keys['ed25519'])}"])
    assert "added gpu01" in capsys.readouterr().out
    with pytest.raises(InventoryError, match="there is already a host gpu01"):
        run(words)


def test_a_known_key_needs_no_question_and_a_changed_one_is_refused(
    home: Path,
    serve: Serve,
    host_keys: dict[str, paramiko.PKey],
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = serve()
    key = host_keys["ed25519"]
    line = f"[127.0.0.1]:{server.port} {key.get_name()} {key.get_base64()}\n"
    (home / "known_hosts").write_text(line)
    file = home / "own.yaml"
    file.write_text("hosts:\n  a: {}  # mine\n")
    file.chmod(0o600)
    link = home / "link.yaml"
    link.symlink_to(file)
    words = ["hosts", "add", "gpu01", address(server), "--inventory", str(link)]
    run([*words, "--output=json"])
    document = json.loads(capsys.readouterr().out)
    assert (document["host"], document["host_key"]["was_known"]) == ("gpu01", True)
    assert file.read_text().startswith("hosts:\n  a: {}  # mine\n  gpu01:\n")
    assert (link.is_symlink(), file.stat().st_mode & 0o777) == (True, 0o600)
    other = host_keys["other"]
    (home / "known_hosts").write_text(line.replace(key.get_base64(), other.get_base64()))
    words = ["hosts", "add", "gpu02", address(server), "--inventory", str(file), "--yes"]
    with pytest.raises(HostKeyError, match="CHANGED"):
        run([*words, f"--fingerprint={print_of(key)}"])
    assert "gpu02" not in file.read_text()


def test_nothing_is_written_for_a_host_that_gives_no_answer(home: Path, serve: Serve) -> None:
    server = serve()
    at = address(server)
    server.close()
    with pytest.raises(UnreachableError):
        run(["hosts", "add", "gpu01", at])
    assert not inventory(home).exists()


def test_inventories_of_other_programs_and_cubes_are_not_changed(home: Path) -> None:
    ini = home / "hosts.ini"
    ini.write_text("[web]\na\n")
    program = home / "list"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for path, problem in ((ini, "of Ansible"), (program, "it is a program"), (home, "directory")):
        with pytest.raises(InventoryError, match=problem):
            run(["hosts", "add", "x", "127.0.0.1:1", "--inventory", str(path)])
    (home / "here" / "mlcube.yaml").write_text("")
    (home / "here" / "hosts.yaml").write_text("hosts: {}\n")
    with pytest.raises(UnreachableError):
        run(["hosts", "add", "x", "127.0.0.1:1"])
    with pytest.raises(UsageError, match="USER@ADDRESS: expected"):
        run(["hosts", "add", "x", "a b"])
    with pytest.raises(UsageError, match="is this machine"):
        run(["hosts", "add", "local"])


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("given", [[], ["ada@gpu01.invalid"]])
def test_a_name_without_an_address_gets_one_as_the_hint(given: list[str]) -> None:
    with pytest.raises(UnreachableError, match="does not resolve") as caught:
        run(["hosts", "add", "gpu01.invalid", *given])
    command = "give the address: mlcube-remote hosts add gpu01.invalid USER@ADDRESS; "
    assert str(caught.value.hint).startswith(command) == (not given)
