# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import paramiko
import pytest

from mlcube_remote.errors import UnreachableError
from mlcube_remote.secret import Secret
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.guarded_transport import GuardedTransport
from tests.support.key_logins import ANY, make_key, refusal_of
from tests.support.ssh_server import Lab, Serve


@pytest.fixture(autouse=True, params=["paramiko_1", "OpenSSH_9.6"])
def software(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the server call itself so: a login to OpenSSH does not wait for the service."""
    monkeypatch.setattr(paramiko.Transport, "_CLIENT_ID", request.param)
    return str(request.param)


@pytest.mark.parametrize(
    "options",
    [("-t", "ed25519"), ("-t", "ecdsa"), ("-t", "rsa", "-b", "2048"), ("-t", "rsa", "-m", "PEM")],
    ids=" ".join,
)
@pytest.mark.parametrize("passphrase", ["", "correct horse"])
def test_all_common_kinds_of_keys_log_in(
    lab: Lab, serve: Serve, options: tuple[str, ...], passphrase: str
) -> None:
    path = lab.folder / "key"
    server = serve(accepted=[make_key(path, *options, passphrase=passphrase)])
    lab.credentials = Credentials(passphrase=Secret(passphrase) if passphrase else None)

    lab.log_in(server, ANY, identity_files=(str(path),)).close()

    assert len(server.attempts) == 1


def test_only_a_login_to_openssh_does_not_wait_for_the_service(
    lab: Lab, serve: Serve, software: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server says that it has the service only after it has got the login."""
    handler: Any = paramiko.auth_handler.AuthHandler
    answer, check = handler._parse_service_request, handler._parse_userauth_request
    held: list[paramiko.Message] = []

    def hold(_self: paramiko.auth_handler.AuthHandler, message: paramiko.Message) -> None:
        held.append(message)

    def release(self: paramiko.auth_handler.AuthHandler, message: paramiko.Message) -> None:
        answer(self, held.pop())
        check(self, message)

    monkeypatch.setattr(handler, "_parse_service_request", hold)
    monkeypatch.setattr(handler, "_parse_userauth_request", release)
    server = serve()
    server.accepted.append(make_key(lab.folder / "key", "-t", "ed25519"))
    files = (str(lab.folder / "key"),)
    if software.startswith("OpenSSH"):
        lab.log_in(server, ANY, identity_files=files).close()
        assert len(server.attempts) == 1
    else:
        with pytest.raises(UnreachableError, match="did not answer the login"):
            lab.log_in(server, ANY, identity_files=files, connect_timeout=0.5)


def test_a_refused_login_lists_the_keys_and_is_not_retried(lab: Lab, serve: Serve) -> None:
    server = serve()

    refusal = refusal_of(lab, server)

    assert f"login as me refused (tried: {lab.identity})" in str(refusal)
    assert f"ssh-copy-id -p {server.port} me@127.0.0.1" in (refusal.hint or "")
    assert len(server.attempts) == 1


def test_a_login_without_any_key_is_reported(lab: Lab, serve: Serve) -> None:
    refusal = refusal_of(lab, serve(), identity_files=())

    assert "login as me refused (no usable key; the server accepts: publickey)" in str(refusal)


def test_a_missing_key_file_is_named(lab: Lab, serve: Serve) -> None:
    path = lab.folder / "missing"

    refusal = refusal_of(lab, serve(), identity_files=(str(path),))

    assert f"(no usable key; could not use: {path} (no such file); the server" in str(refusal)


def test_an_encrypted_key_without_passphrase_is_skipped_and_named(lab: Lab, serve: Serve) -> None:
    path = lab.folder / "locked"
    server = serve(accepted=[make_key(path, "-t", "ed25519", passphrase="secret")])

    refusal = refusal_of(lab, server, identity_files=(str(path), str(lab.identity)))

    assert f"could not use: {path} (encrypted; load it into the agent" in str(refusal)
    assert len(server.attempts) == 1


@pytest.mark.parametrize("options", [("-t", "ed25519"), ("-t", "rsa", "-m", "PEM")], ids=" ".join)
def test_a_wrong_passphrase_is_reported_but_not_shown(
    lab: Lab, serve: Serve, options: tuple[str, ...]
) -> None:
    path = lab.folder / "locked"
    server = serve(accepted=[make_key(path, *options, passphrase="right one")])
    lab.credentials = Credentials(passphrase=Secret("wrong-one"))

    refusal = refusal_of(lab, server, identity_files=(str(path),))

    assert f"could not use: {path} (wrong passphrase)" in str(refusal)
    assert "wrong-one" not in f"{refusal} {refusal.hint} {refusal.__cause__!r}"


def test_a_file_that_is_not_a_key_is_skipped_and_named(lab: Lab, serve: Serve) -> None:
    path = lab.folder / "notes.txt"
    path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n")

    refusal = refusal_of(lab, serve(), identity_files=(str(path),))

    assert f"{path} (not a private key that can be read)" in str(refusal)


def test_a_password_is_tried_after_the_keys(lab: Lab, serve: Serve) -> None:
    server = serve(methods=("publickey", "password"), password="hunter2")
    lab.credentials = Credentials(password=Secret("hunter2"))

    lab.log_in(server, ANY).close()

    assert [attempt.split()[0] for attempt in server.attempts] == ["publickey", "password"]


def test_a_code_is_sent_if_the_server_does_not_accept_passwords(lab: Lab, serve: Serve) -> None:
    server = serve(methods=("keyboard-interactive",), password="123456")
    lab.credentials = Credentials(password=Secret("123456"))

    lab.log_in(server, ANY).close()

    assert server.attempts[-1] == "keyboard-interactive"
    assert "password" not in server.attempts


def test_the_password_follows_a_key_if_both_are_required(lab: Lab, serve: Serve) -> None:
    other = lab.folder / "other"
    make_key(other, "-t", "ed25519")
    server = serve(
        methods=("publickey", "password"),
        requires_all=True,
        password="hunter2",
        accepted=[lab.client_key.asbytes()],
    )
    lab.credentials = Credentials(password=Secret("hunter2"))

    lab.log_in(server, ANY, identity_files=(str(lab.identity), str(other))).close()

    # The second key would only have used up an attempt.
    assert [attempt.split()[0] for attempt in server.attempts] == ["publickey", "password"]


def test_a_wrong_password_is_refused_and_not_shown(lab: Lab, serve: Serve) -> None:
    server = serve(methods=("password", "keyboard-interactive"), password="right")
    lab.credentials = Credentials(password=Secret("hunter2"))

    refusal = refusal_of(lab, server, identity_files=())

    assert "tried: password, keyboard-interactive" in str(refusal)
    assert "hunter2" not in f"{refusal} {refusal.hint} {refusal!r}"


def test_a_server_that_accepts_no_keys_gets_only_one(lab: Lab, serve: Serve) -> None:
    paths = []
    for name in ("a", "b", "c"):
        make_key(lab.folder / name, "-t", "ed25519")
        paths.append(str(lab.folder / name))

    refusal = refusal_of(lab, serve(methods=("password",)), identity_files=tuple(paths))

    assert f"tried: {paths[0]} (method not accepted by the server)" in str(refusal)
    assert "the server accepts: password" in str(refusal)


def test_too_many_keys_are_reported(lab: Lab, serve: Serve) -> None:
    paths = []
    for number in range(12):
        path = lab.folder / f"key{number}"
        make_key(path, "-t", "ed25519")
        paths.append(str(path))

    refusal = refusal_of(lab, serve(), identity_files=tuple(paths))

    assert "the server disconnected after" in str(refusal)
    assert "IdentitiesOnly yes" in (refusal.hint or "")


@pytest.mark.parametrize("number", [1, 2])
def test_a_connection_that_is_cut_during_the_login_is_not_a_refused_login(
    lab: Lab, serve: Serve, number: int
) -> None:
    other = lab.folder / "other"
    make_key(other, "-t", "ed25519")
    server = serve(cuts_at=number)

    with pytest.raises(UnreachableError, match="was closed during the login") as caught:
        lab.log_in(server, ANY, identity_files=(str(lab.identity), str(other)))

    assert f"h1: the connection to 127.0.0.1:{server.port} was closed" in str(caught.value)
    assert ("other" in str(caught.value)) is (number == 2)
    assert "IdentitiesOnly yes" in (caught.value.hint or "")
    assert len(server.attempts) == number


def test_a_server_that_does_not_answer_the_login_is_unreachable(
    lab: Lab, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stall(_self: object, _user: str, _key: paramiko.PKey) -> list[str]:
        raise paramiko.AuthenticationException("Authentication timeout.")

    monkeypatch.setattr(GuardedTransport, "auth_publickey", stall)

    with pytest.raises(UnreachableError, match="did not answer the login within"):
        lab.log_in(serve(), ANY)
