# SPDX-License-Identifier: Apache-2.0
"""The program that ssh starts for its questions gets each answer from this process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

import pytest

from mlcube_remote.secret import Secret
from mlcube_remote.transport.askpass import Askpass
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.questions import Answers
from tests.support.answers import FakeScreen

PASSPHRASE = "Enter passphrase for key '/home/me/.ssh/id': "


def _ask(askpass: Askpass, text: str, kind: str | None = None) -> tuple[int, str]:
    """Ask as ssh does; return the exit code and the answer."""
    more: Mapping[str, str] = {} if kind is None else {"SSH_ASKPASS_PROMPT": kind}
    environment = {**os.environ, **askpass.environment, **more}
    done = subprocess.run(
        [environment["SSH_ASKPASS"], text],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def _credentials(*answers: str, **more: Secret) -> tuple[Credentials, FakeScreen]:
    screen = FakeScreen([*answers])
    return Credentials(answers=Answers(screen), **more), screen


def test_each_question_gets_what_the_user_types() -> None:
    credentials, screen = _credentials('a $ecret "word"', "123456")

    with Askpass.create("gpu01", credentials) as askpass:
        assert not askpass.has_asked
        assert _ask(askpass, "(me@gpu01) Password: ") == (0, 'a $ecret "word"\n')
        assert _ask(askpass, "Line 1\nCode: ") == (0, "123456\n")

    assert [each.questions[0].text for each in screen.inquiries][1] == "Line 1\nCode: "
    assert {each.asker for each in screen.inquiries} == {"gpu01"}
    assert askpass.has_asked


def test_secrets_are_in_no_variable() -> None:
    credentials, _ = _credentials("hunter2", passphrase=Secret("a phrase"))

    with Askpass.create("gpu01", credentials) as askpass:
        assert _ask(askpass, PASSPHRASE) == (0, "a phrase\n")
        shown = f"{askpass.environment} {askpass}"

    assert "a phrase" not in shown


def test_a_passphrase_is_asked_once_for_all_hosts() -> None:
    credentials, screen = _credentials("a phrase")

    for host in ("gpu01", "gpu02"):
        with Askpass.create(host, credentials) as askpass:
            assert _ask(askpass, PASSPHRASE) == (0, "a phrase\n")

    assert [each.asker for each in screen.inquiries] == ["ssh"]


def test_a_server_does_not_get_the_passphrase_of_a_key() -> None:
    credentials, screen = _credentials("typed", passphrase=Secret("a phrase"))

    with Askpass.create("gpu01", credentials) as askpass:
        assert _ask(askpass, f"(me@gpu01) {PASSPHRASE}") == (0, "typed\n")

    assert screen.inquiries[0].asker == "gpu01"


@pytest.mark.parametrize("kind", ["none", "confirm"])
def test_messages_and_confirmations_are_no_questions(kind: str) -> None:
    credentials, screen = _credentials("never")

    with Askpass.create("gpu01", credentials) as askpass:
        code, answer = _ask(askpass, "Confirm user presence for key ED25519-SK", kind)
        # The next question must get its own answer.
        assert _ask(askpass, "Password: ") == (0, "never\n")

    assert (code, answer) == ((0, "") if kind == "none" else (1, ""))
    expected = [("gpu01", "Confirm user presence for key ED25519-SK")] if kind == "none" else []
    assert screen.shown == expected


def test_a_question_without_answer_has_an_error() -> None:
    credentials, _ = _credentials()

    with Askpass.create("gpu01", credentials) as askpass:
        assert _ask(askpass, "Code: ") == (1, "")

    assert "gpu01: gpu01 asks 'Code', and got no answer" in str(askpass.problem)


def test_a_question_that_is_asked_again_got_the_wrong_answer() -> None:
    credentials, screen = _credentials("wrong")

    with Askpass.create("gpu01", credentials) as askpass:
        assert _ask(askpass, "Password: ") == (0, "wrong\n")
        assert _ask(askpass, "Password: ") == (1, "")

    assert len(screen.inquiries) == 1


def test_without_answers_there_is_no_program() -> None:
    with Askpass.create("gpu01", Credentials()) as askpass:
        assert not askpass.environment
