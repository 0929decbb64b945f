# SPDX-License-Identifier: Apache-2.0
"""Logins with passwords and codes that the user types when the server asks."""

from __future__ import annotations

import subprocess

import pytest

from mlcube_remote.errors import AuthenticationError
from mlcube_remote.inventory.model import HostKeys
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.questions import Answers, Question
from tests.support.answers import FakeScreen
from tests.support.ssh_server import Lab, Serve

ANY = HostKeys.ACCEPT_NEW
TWO = ((("Password: ", False), ("Code: ", True)),)


def _screen(lab: Lab, *answers: str) -> FakeScreen:
    screen = FakeScreen([*answers])
    lab.credentials = Credentials(answers=Answers(screen))
    return screen


@pytest.mark.parametrize("rounds", [TWO, ((TWO[0][0],), (TWO[0][1],))], ids=["together", "apart"])
def test_two_questions_are_asked_as_the_server_words_them(
    lab: Lab, serve: Serve, rounds: tuple[tuple[tuple[str, bool], ...], ...]
) -> None:
    server = serve(
        methods=("publickey", "keyboard-interactive"),
        rounds=rounds,
        expected=["hunter2", "123456"],
        about="Only for staff.",
    )
    screen = _screen(lab, "hunter2", "123456")

    lab.log_in(server, ANY, alias="gpu01").close()

    asked = [question for each in screen.inquiries for question in each.questions]
    assert asked == [Question(text="Password: "), Question(text="Code: ", is_shown=True)]
    assert screen.inquiries[0].about == "Only for staff."
    assert screen.inquiries[0].asker == f"me@gpu01:{server.port}"


def test_a_second_login_uses_the_password_and_refuses_to_ask_for_a_code(
    lab: Lab, serve: Serve
) -> None:
    methods = ("keyboard-interactive",)
    server = serve(methods=methods, rounds=TWO, expected=["hunter2", "123456"])
    screen = _screen(lab, "hunter2", "123456")
    lab.log_in(server, ANY).close()

    with pytest.raises(AuthenticationError, match="asks 'Code' again"):
        lab.log_in(server, ANY)

    assert len(screen.inquiries) == 1
    assert server.answers == ["hunter2", "123456"]


def test_a_second_login_with_a_password_alone_asks_nothing(lab: Lab, serve: Serve) -> None:
    server = serve(methods=("password",), password="hunter2")
    screen = _screen(lab, "hunter2")

    for _ in range(2):
        lab.log_in(server, ANY).close()

    assert len(screen.inquiries) == 1


def test_a_wrong_answer_is_typed_once(lab: Lab, serve: Serve) -> None:
    server = serve(
        methods=("keyboard-interactive", "password"),
        rounds=((("Password: ", False),),),
        password="right",
    )
    screen = _screen(lab, "hunter3", "never asked")

    with pytest.raises(AuthenticationError, match="refused") as caught:
        lab.log_in(server, ANY)
    with pytest.raises(AuthenticationError, match="not used twice"):
        lab.log_in(server, ANY)

    assert len(screen.inquiries) == 1
    assert server.answers == ["hunter3"]
    assert "hunter3" not in f"{caught.value} {caught.value.hint}"


def test_a_key_and_then_a_code(lab: Lab, serve: Serve) -> None:
    server = serve(
        methods=("publickey", "keyboard-interactive"),
        requires_all=True,
        accepted=[lab.client_key.asbytes()],
        expected=["123456"],
    )
    _screen(lab, "123456")

    lab.log_in(server, ANY).close()

    assert [each.split()[0] for each in server.attempts] == ["publickey", "keyboard-interactive"]


def test_a_server_that_accepts_the_key_asks_nothing(lab: Lab, serve: Serve) -> None:
    server = serve(
        methods=("publickey", "password"), accepted=[lab.client_key.asbytes()], password="x"
    )
    screen = _screen(lab)
    server.requires_all = False

    lab.log_in(server, ANY).close()

    assert not screen.inquiries


def test_the_passphrase_of_a_key_is_asked_after_all_other_keys(lab: Lab, serve: Serve) -> None:
    locked = lab.folder / "locked"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "a phrase", "-f", str(locked)]
    subprocess.run(command, check=True)
    paths = (str(locked), str(lab.identity))
    screen = _screen(lab, "a phrase")

    lab.log_in(serve(accepted=[lab.client_key.asbytes()]), ANY, identity_files=paths).close()
    assert not screen.inquiries

    refusing = serve(methods=("publickey", "gssapi-with-mic"))
    for _ in range(2):
        with pytest.raises(AuthenticationError, match="refused"):
            lab.log_in(refusing, ANY, identity_files=paths)
    assert [each.asker for each in screen.inquiries] == [str(locked)]
    assert len(refusing.attempts) == 4


def test_an_empty_passphrase_skips_the_key(lab: Lab, serve: Serve) -> None:
    locked = lab.folder / "locked"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "a phrase", "-f", str(locked)]
    subprocess.run(command, check=True)
    _screen(lab, "")

    with pytest.raises(AuthenticationError, match=r"locked \(encrypted, and no passphrase given"):
        lab.log_in(
            serve(methods=("publickey", "x")), ANY, identity_files=(str(locked), str(lab.identity))
        )


def test_without_a_terminal_the_next_step_is_a_login_before(lab: Lab, serve: Serve) -> None:
    server = serve(methods=("publickey", "keyboard-interactive"))

    with pytest.raises(AuthenticationError, match="login as me refused") as got:
        lab.log_in(server, ANY)

    assert "mlcube-remote login h1 on a terminal" in (got.value.hint or "")
    assert not server.answers


def test_a_user_who_does_not_answer_sends_nothing(lab: Lab, serve: Serve) -> None:
    server = serve(methods=("keyboard-interactive",))
    _screen(lab)

    with pytest.raises(AuthenticationError, match="got no answer"):
        lab.log_in(server, ANY)

    assert not server.answers
