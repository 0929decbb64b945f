# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from mlcube_remote.errors import AuthenticationError, UnreachableError
from mlcube_remote.inventory.model import HostKeys
from mlcube_remote.secret import Secret
from mlcube_remote.transport import key_files as keyfiles
from mlcube_remote.transport.auth import Credentials
from tests.unit.transport.ssh_server import Lab, Serve, SSHServer

ANY = HostKeys.ACCEPT_NEW


def _keygen(path: Path, *options: str, passphrase: str = "") -> bytes:
    """Make a key as people do; return its public part."""
    subprocess.run(
        ["ssh-keygen", "-q", "-N", passphrase, "-f", str(path), "-C", "test", *options], check=True
    )
    public = path.with_name(path.name + ".pub")
    blob = keyfiles.public_blob(public)
    assert blob is not None
    return blob


def _refusal(lab: Lab, server: SSHServer, **more: object) -> AuthenticationError:
    with pytest.raises(AuthenticationError) as caught:
        lab.dial(server, ANY, **more)
    assert caught.value.exit_code == 120
    return caught.value


@pytest.mark.parametrize(
    "options",
    [("-t", "ed25519"), ("-t", "ecdsa"), ("-t", "rsa", "-b", "2048"), ("-t", "rsa", "-m", "PEM")],
    ids=" ".join,
)
@pytest.mark.parametrize("passphrase", ["", "correct horse"])
def test_every_usual_kind_of_key_logs_in(
    lab: Lab, serve: Serve, options: tuple[str, ...], passphrase: str
) -> None:
    path = lab.folder / "key"
    server = serve(accepted=[_keygen(path, *options, passphrase=passphrase)])
    lab.credentials = Credentials(passphrase=Secret(passphrase) if passphrase else None)

    lab.dial(server, ANY, identity_files=(str(path),)).close()

    assert len(server.attempts) == 1


def test_a_refused_login_names_what_was_tried_and_is_not_repeated(lab: Lab, serve: Serve) -> None:
    server = serve()

    refusal = _refusal(lab, server)

    assert f"login as me refused (tried: {lab.identity})" in str(refusal)
    assert f"ssh-copy-id -p {server.port} me@127.0.0.1" in (refusal.hint or "")
    assert len(server.attempts) == 1


def test_nothing_to_try_is_said(lab: Lab, serve: Serve) -> None:
    refusal = _refusal(lab, serve(), identity_files=())

    assert "there was nothing to try" in str(refusal)


def test_a_key_that_is_not_there_is_named(lab: Lab, serve: Serve) -> None:
    path = lab.folder / "missing"

    refusal = _refusal(lab, serve(), identity_files=(str(path),))

    assert f"nothing to try; could not use: {path} (no such file)" in str(refusal)


def test_an_encrypted_key_without_its_passphrase_is_left_out_and_named(
    lab: Lab, serve: Serve
) -> None:
    path = lab.folder / "locked"
    server = serve(accepted=[_keygen(path, "-t", "ed25519", passphrase="secret")])

    refusal = _refusal(lab, server, identity_files=(str(path), str(lab.identity)))

    assert f"could not use: {path} (encrypted; load it into the agent" in str(refusal)
    assert len(server.attempts) == 1


@pytest.mark.parametrize("options", [("-t", "ed25519"), ("-t", "rsa", "-m", "PEM")], ids=" ".join)
def test_a_wrong_passphrase_is_told_and_never_shown(
    lab: Lab, serve: Serve, options: tuple[str, ...]
) -> None:
    path = lab.folder / "locked"
    server = serve(accepted=[_keygen(path, *options, passphrase="right one")])
    lab.credentials = Credentials(passphrase=Secret("wrong-one"))

    refusal = _refusal(lab, server, identity_files=(str(path),))

    assert "the passphrase is not this key's" in str(refusal)
    assert "wrong-one" not in f"{refusal} {refusal.hint} {refusal.__cause__!r}"


def test_a_file_that_is_no_key_is_left_out_and_named(lab: Lab, serve: Serve) -> None:
    path = lab.folder / "notes.txt"
    path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n")

    refusal = _refusal(lab, serve(), identity_files=(str(path),))

    assert f"{path} (not a private key that can be read)" in str(refusal)


def test_a_password_logs_in_where_keys_do_not(lab: Lab, serve: Serve) -> None:
    server = serve(methods=("publickey", "password"), password="hunter2")
    lab.credentials = Credentials(password=Secret("hunter2"))

    lab.dial(server, ANY).close()

    assert [attempt.split()[0] for attempt in server.attempts] == ["publickey", "password"]


def test_a_code_logs_in_where_a_password_is_not_taken(lab: Lab, serve: Serve) -> None:
    server = serve(methods=("keyboard-interactive",), password="123456")
    lab.credentials = Credentials(password=Secret("123456"))

    lab.dial(server, ANY).close()

    assert server.attempts[-1] == "keyboard-interactive"
    assert "password" not in server.attempts


def test_a_key_that_is_not_enough_is_followed_by_the_password(lab: Lab, serve: Serve) -> None:
    other = lab.folder / "other"
    _keygen(other, "-t", "ed25519")
    server = serve(
        methods=("publickey", "password"),
        wants_all=True,
        password="hunter2",
        accepted=[lab.client_key.asbytes()],
    )
    lab.credentials = Credentials(password=Secret("hunter2"))

    lab.dial(server, ANY, identity_files=(str(lab.identity), str(other))).close()

    # The second key would only have used up a try.
    assert [attempt.split()[0] for attempt in server.attempts] == ["publickey", "password"]


def test_a_wrong_password_is_refused_and_never_shown(lab: Lab, serve: Serve) -> None:
    server = serve(methods=("password", "keyboard-interactive"), password="right")
    lab.credentials = Credentials(password=Secret("hunter2"))

    refusal = _refusal(lab, server, identity_files=())

    assert "tried: password, keyboard-interactive" in str(refusal)
    assert "hunter2" not in f"{refusal} {refusal.hint} {refusal!r}"


def test_a_server_that_takes_no_keys_is_offered_one_only(lab: Lab, serve: Serve) -> None:
    paths = []
    for name in ("a", "b", "c"):
        _keygen(lab.folder / name, "-t", "ed25519")
        paths.append(str(lab.folder / name))

    refusal = _refusal(lab, serve(methods=("password",)), identity_files=tuple(paths))

    assert f"tried: {paths[0]} (not accepted there)" in str(refusal)
    assert "the server takes: password" in str(refusal)


def test_too_many_keys_are_told(lab: Lab, serve: Serve) -> None:
    paths = []
    for number in range(12):
        path = lab.folder / f"key{number}"
        _keygen(path, "-t", "ed25519")
        paths.append(str(path))

    refusal = _refusal(lab, serve(), identity_files=tuple(paths))

    assert "the server hung up after" in str(refusal)
    assert "IdentitiesOnly yes" in (refusal.hint or "")


def test_a_server_that_never_decides_is_unreachable(
    lab: Lab, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stall(_self: object, _user: str, _key: paramiko.PKey) -> list[str]:
        raise paramiko.AuthenticationException("Authentication timeout.")

    monkeypatch.setattr(paramiko.Transport, "auth_publickey", stall)

    with pytest.raises(UnreachableError, match="did not answer the login within"):
        lab.dial(serve(), ANY)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """A real agent; its socket."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("ssh-agent is not installed")
    sock = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.DEVNULL) as it:
        while not sock.exists():
            assert it.poll() is None
        yield sock
        it.terminate()


def _add(agent: Path, *paths: Path) -> None:
    env = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    subprocess.run(["ssh-add", "-q", *map(str, paths)], check=True, env=env, capture_output=True)


def test_the_agents_keys_are_offered_those_asked_for_first(
    lab: Lab, serve: Serve, agent: Path
) -> None:
    first, second = lab.folder / "first", lab.folder / "second"
    _keygen(first, "-t", "ed25519")
    server = serve(accepted=[_keygen(second, "-t", "rsa", "-b", "2048")])
    _add(agent, first, second)

    lab.dial(server, ANY, identity_agent=str(agent), identity_files=(str(second),)).close()

    assert len(server.attempts) == 1


@pytest.mark.parametrize("form", ["encrypted key", "public key"])
def test_identities_only_picks_the_agents_key_by_its_file(
    lab: Lab, serve: Serve, agent: Path, form: str
) -> None:
    wanted, other = lab.folder / "wanted", lab.folder / "other"
    server = serve(accepted=[_keygen(wanted, "-t", "ed25519")])
    _keygen(other, "-t", "ed25519")
    _add(agent, other, wanted)
    if form == "public key":
        wanted.unlink()
        wanted = wanted.with_name("wanted.pub")
    else:
        subprocess.run(
            ["ssh-keygen", "-q", "-p", "-P", "", "-N", "locked", "-f", str(wanted)],
            check=True,
            capture_output=True,
        )
        wanted.with_name("wanted.pub").unlink()

    lab.dial(
        server,
        ANY,
        identity_agent=str(agent),
        identities_only=True,
        identity_files=(str(wanted),),
    ).close()

    assert len(server.attempts) == 1


def test_an_agent_that_is_gone_is_named_and_the_files_still_count(lab: Lab, serve: Serve) -> None:
    refusal = _refusal(lab, serve(), identity_agent=str(lab.folder / "gone"))

    assert f"the agent at {lab.folder / 'gone'}" in str(refusal)
    assert str(lab.identity) in str(refusal)


def test_the_agent_of_the_environment_is_used_unless_told_otherwise(
    lab: Lab, serve: Serve, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = lab.folder / "key"
    server = serve(accepted=[_keygen(key, "-t", "ed25519")])
    _add(agent, key)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))

    lab.dial(server, ANY, identity_agent=None, identity_files=()).close()
    _refusal(lab, server, identity_agent="none", identity_files=())


@pytest.mark.parametrize("text", [b"", b"x", b"ssh-ed25519 AAAA", b"ssh-ed25519 !", b"a b c"])
def test_what_is_no_key_has_no_public_part(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(text)

    assert keyfiles.public_blob(file) is None


@pytest.mark.parametrize("body", ["", "AAAA", "b3BlbnNzaC1rZXktdjEA", "b3BlbnNzaC1rZXktdjEAAAAA"])
def test_a_damaged_key_has_no_public_part(tmp_path: Path, body: str) -> None:
    file = tmp_path / "file"
    file.write_text(
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"
    )

    assert keyfiles.public_blob(file) is None
