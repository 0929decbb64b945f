# SPDX-License-Identifier: Apache-2.0
"""What is asked, how often, and what is remembered."""

from __future__ import annotations

import threading
import time

import attrs
import pytest

from mlcube_remote.errors import AuthenticationError
from mlcube_remote.secret import Secret
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.questions import Answers, Inquiry, Question, quote
from tests.support.answers import FakeScreen


def _inquiry(*texts: str, asker: str = "me@gpu01") -> Inquiry:
    return Inquiry(asker=asker, questions=tuple(Question(text=text) for text in texts))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Password: ", True),
        ("me@gpu01's password: ", True),
        ("(me@gpu01) Password: ", True),
        ("Enter passphrase for key '/home/me/.ssh/id': ", True),
        ("Enter PIN for ED25519-SK key /home/me/.ssh/id_sk: ", True),
        ("Kennwort: ", True),
        ("Verification code: ", False),
        ("One-time password (OATH) for `me': ", False),
        ("Password & verification code: ", False),
        ("Enter PASSCODE: ", False),
        ("Passcode or option (1-3): ", False),
        ("YubiKey for `me': ", False),
        ("New password: ", False),
        ("Answer: ", False),
        ("", False),
    ],
)
def test_only_passwords_can_be_used_again(text: str, expected: bool) -> None:
    assert Question(text=text).wants_password is expected


def test_a_password_is_asked_once_for_all_connections_of_a_command() -> None:
    screen = FakeScreen(["hunter2"])
    answers = Answers(screen)

    found = [answers.find("gpu01", _inquiry("Password: ")) for _ in range(3)]

    assert found == [[Secret("hunter2")]] * 3
    assert len(screen.inquiries) == 1


def test_another_server_does_not_get_the_password() -> None:
    screen = FakeScreen(["first", "second"])
    answers = Answers(screen)

    answers.find("gpu01", _inquiry("Password: "))
    found = answers.find("gpu02", _inquiry("Password: ", asker="me@gpu02"))

    assert found == [Secret("second")]


def test_a_jump_host_gets_its_password_for_all_hosts_behind_it() -> None:
    screen = FakeScreen(["hunter2"])
    answers = Answers(screen)

    for host in ("gpu01", "gpu02"):
        assert answers.find(host, _inquiry("Password: ", asker="me@jump")) == [Secret("hunter2")]


def test_a_code_is_not_asked_again_for_a_reconnect() -> None:
    screen = FakeScreen(["hunter2", "123456"])
    answers = Answers(screen)
    answers.find("gpu01", _inquiry("Password: ", "Code: "))

    with pytest.raises(AuthenticationError) as caught:
        answers.find("gpu01", _inquiry("Password: ", "Code: "))

    assert "gpu01: me@gpu01 asks 'Code' again; one-time codes" in str(caught.value)
    assert "mlcube-remote login gpu01" in (caught.value.hint or "")
    assert len(screen.inquiries) == 1


def test_a_jump_host_that_needs_codes_asks_for_each_host_behind_it() -> None:
    screen = FakeScreen(["1", "2"])
    answers = Answers(screen)

    assert answers.find("gpu01", _inquiry("Code: ", asker="me@jump")) == [Secret("1")]
    assert answers.find("gpu02", _inquiry("Code: ", asker="me@jump")) == [Secret("2")]


def test_equal_questions_have_an_answer_each() -> None:
    answers = Answers(FakeScreen(["one", "two"]))

    assert answers.find("gpu01", _inquiry("Code: ", "Code: ")) == [Secret("one"), Secret("two")]


def test_a_refused_password_is_not_sent_again() -> None:
    answers = Answers(FakeScreen(["wrong"]))
    answers.find("gpu01", _inquiry("Password: "))

    answers.forget("me@gpu01")

    with pytest.raises(AuthenticationError, match="refused answers are not used twice"):
        answers.find("gpu01", _inquiry("Password: "))


def test_without_a_terminal_the_error_has_a_next_step() -> None:
    with pytest.raises(AuthenticationError, match="there is no terminal") as caught:
        Answers().find("gpu01", _inquiry("Password: "))

    assert caught.value.exit_code == 120
    assert "mlcube-remote login gpu01 on a terminal" in (caught.value.hint or "")


def test_no_answer_ends_the_login() -> None:
    with pytest.raises(AuthenticationError, match="asks 'Password', and got no answer"):
        Answers(FakeScreen([])).find("gpu01", _inquiry("Password: "))


def test_hosts_ask_one_after_the_other() -> None:
    @attrs.define
    class SlowScreen(FakeScreen):
        open_questions: int = 0

        def ask(self, inquiry: Inquiry) -> list[Secret] | None:
            self.open_questions += 1
            assert self.open_questions == 1
            time.sleep(0.02)
            self.open_questions -= 1
            return super().ask(inquiry)

    screen = SlowScreen([str(number) for number in range(4)])
    answers = Answers(screen)
    found: list[list[Secret]] = []

    def log_in(host: str) -> None:
        found.append(answers.find(host, _inquiry("Code: ", asker=host)))

    threads = [threading.Thread(target=log_in, args=(f"gpu{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(secret.reveal() for (secret,) in found) == ["0", "1", "2", "3"]


def test_a_given_password_leaves_the_code_to_the_user() -> None:
    screen = FakeScreen(["123456"])
    credentials = Credentials(password=Secret("hunter2"), answers=Answers(screen))

    found = credentials.answer("gpu01", _inquiry("Password: ", "Code: "))

    assert found == [Secret("hunter2"), Secret("123456")]
    assert [each.text for each in screen.inquiries[0].questions] == ["Code: "]


def test_answers_do_not_show_in_a_traceback() -> None:
    answers = Answers(FakeScreen(["hunter2"]))
    answers.find("gpu01", _inquiry("Password: "))

    assert "hunter2" not in repr(answers)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Password: ", "'Password'"),
        ("Duo\n 1. Push\n\nPasscode (1-2): ", "'Passcode (1-2)'"),
        ("", "'a question'"),
        ("\x1b]0;x\x07Code: ", r"'\x1b]0;x\x07Code'"),
        ("A" * 1000, f"'{'A' * 100}'"),
    ],
)
def test_messages_quote_the_last_line_of_a_question(text: str, expected: str) -> None:
    assert quote(text) == expected
