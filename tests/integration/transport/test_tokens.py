# SPDX-License-Identifier: Apache-2.0
"""Logins with keys in devices, which only OpenSSH can do: a PKCS#11 token, a security key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import yaml

from mlcube_remote.errors import AuthenticationError
from mlcube_remote.inventory.model import Host, TransportKind
from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE
from mlcube_remote.secret import Secret
from mlcube_remote.transport.questions import Answers
from tests.support.answers import FakeScreen
from tests.support.one_time_codes import PROGRAM
from tests.support.openssh_logins import authorize, connected, describe, run
from tests.support.pty_command import on_terminal

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory


def _ssh_config(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    config = folder / "config"
    config.write_text("\n  ".join(["Host *", *lines]) + "\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))


def _call(host: Host, notes: list[str] | None = None, answers: Answers | None = None) -> None:
    with connected(host, notes=notes, answers=answers) as connection:
        assert connection.call("mlcr_print_kind", "/etc").text == "d\n"


_LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")


def test_a_key_in_a_token_logs_in_with_its_pin(
    ssh_host: HostFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokens").mkdir()
    settings = tmp_path / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {tmp_path}/tokens\nobjectstore.backend = file\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(settings))
    key = tmp_path / "key"
    run("ssh-keygen", "-q", "-t", "rsa", "-m", "PKCS8", "-N", "", "-f", str(key))
    pin, officer = ("--pin", "1234"), ("--so-pin", "5678")
    run("softhsm2-util", "--init-token", "--free", "--label", "card", *pin, *officer)
    run(
        *("softhsm2-util", "--import", str(key), "--token", "card", "--label", "key"),
        *("--id", "01", *pin),
    )
    key.unlink()
    host = ssh_host("docker", private=True)
    authorize(host, key.with_name("key.pub").read_text())
    _ssh_config(tmp_path, monkeypatch, f"PKCS11Provider {_LIBRARY}", "IdentityFile none")
    described = attrs.evolve(describe(host, identity_file=()), transport=TransportKind.AUTO)
    screen, notes = FakeScreen(["1234"]), list[str]()
    answers = Answers(screen)

    for _ in range(2):
        _call(described, notes=notes, answers=answers)

    (inquiry,) = screen.inquiries
    assert inquiry.questions[0].text.startswith("Enter PIN for 'card'")
    assert set(notes) == {"connecting with OpenSSH: ssh_config has PKCS11Provider"}
    with (
        pytest.raises(AuthenticationError, match="login as mlcube refused"),
        connected(described, passphrase=Secret("4321")),
    ):
        pass


_DEVICE = Path(__file__).parents[2] / "support" / "security_key.c"


def test_a_security_key_logs_in_after_a_touch(
    ssh_host: HostFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, key, touched = tmp_path / "device.so", tmp_path / "key", tmp_path / "touched"
    run("tcc", "-Wall", "-Werror", "-shared", "-nostdlib", str(_DEVICE), "-o", str(device))
    run("ssh-keygen", "-q", "-t", "ed25519-sk", "-w", str(device), "-N", "", "-f", str(key))
    host = ssh_host("docker", private=True)
    authorize(host, key.with_name("key.pub").read_text())
    _ssh_config(tmp_path, monkeypatch, f"SecurityKeyProvider {device}", f"IdentityFile {key}")
    written = yaml.safe_load(host.inventory.read_text())
    del written["hosts"][host.name]["identity_file"]
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(yaml.safe_dump(written))
    argv = [*PROGRAM, "hosts", "check", host.name, f"--inventory={inventory}"]

    with on_terminal(argv, {"SECURITY_KEY_TOUCHED": str(touched)}) as command:
        command.expect(f"{host.name}: Confirm user presence for key ED25519-SK".encode())
        assert b"login" not in command.shown
        touched.touch()
        assert command.finish() == 0, command.shown
