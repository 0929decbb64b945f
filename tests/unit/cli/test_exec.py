# SPDX-License-Identifier: Apache-2.0
"""``exec`` tells RUN from the command by two dashes."""

from __future__ import annotations

from typing import Any

import pytest

from mlcube_remote import app
from mlcube_remote.cli.main import run
from mlcube_remote.errors import UsageError

Entered = list[tuple[str, tuple[str, ...], tuple[str, ...]]]


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> Entered:
    """Return a list of (RUN, its jobs, the command), one for each container that was entered."""
    entered: Entered = []

    def find_run(text: str, *_: Any, jobs: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        return text, jobs

    def exec_in_run(
        found: tuple[str, tuple[str, ...]], command: tuple[str, ...], *_: object
    ) -> int:
        entered.append((*found, tuple(command)))
        return 7

    monkeypatch.setattr(app.follow, "find_run", find_run)
    monkeypatch.setattr(app.exec, "exec_in_run", exec_in_run)
    monkeypatch.setattr(app.latest_run, "choose_run", lambda _: ("newest", "newest, started now"))
    return entered


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("mine -- ls -l", ("mine", (), ("ls", "-l"))),
        ("mine ls", ("mine", (), ("ls",))),
        ("mine ls -- -l", ("mine", (), ("ls", "-l"))),
        ("-- ls -l", ("newest", (), ("ls", "-l"))),
        ("--job=03 -- ls --job=04", ("newest", ("03",), ("ls", "--job=04"))),
        ("mine --job 03 -- ls", ("mine", ("03",), ("ls",))),
        ("mine/03 -- sh -c x -- y", ("mine/03", (), ("sh", "-c", "x", "--", "y"))),
        ("mine -- --version", ("mine", (), ("--version",))),
    ],
)
def test_what_follows_the_dashes_is_the_command(
    words: str, expected: tuple[str, tuple[str, ...], tuple[str, ...]], entered: Entered
) -> None:
    assert run(["exec", *words.split()]) == 7
    assert entered == [expected]


def test_the_run_that_was_chosen_is_named(
    entered: Entered, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["exec", "--", "ls"])
    assert capsys.readouterr().err == "run newest, started now\n"
    assert len(entered) == 1


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "mlcube-remote exec last -- COMMAND"),
        (["--"], "mlcube-remote exec last -- COMMAND"),
        (
            ["mine"],
            (
                "if mine is the run: mlcube-remote exec mine -- COMMAND; "
                "if it is the command: mlcube-remote exec -- mine"
            ),
        ),
        (
            ["a b", "--"],
            (
                "if 'a b' is the run: mlcube-remote exec 'a b' -- COMMAND; "
                "if it is the command: mlcube-remote exec -- 'a b'"
            ),
        ),
    ],
)
def test_without_a_command_there_is_an_error(words: list[str], hint: str, entered: Entered) -> None:
    with pytest.raises(UsageError, match="expected a command after two dashes") as caught:
        run(["exec", *words])
    assert caught.value.hint == hint
    assert not entered


@pytest.mark.parametrize(
    "words", [["exec", "-it", "mine", "--", "sh"], ["exec", "-ti", "mine", "ls"], ["shell", "-it"]]
)
def test_the_options_of_docker_exec_for_a_terminal_are_not_needed(
    words: list[str], entered: Entered
) -> None:
    with pytest.raises(UsageError, match="expected no option for a terminal") as caught:
        run(words)
    assert str(caught.value.hint).startswith(
        f"omit it: mlcube-remote {words[0]} uses this terminal"
    )
    assert not entered


def test_the_command_may_have_such_options(entered: Entered) -> None:
    run(["exec", "mine", "--", "docker", "run", "-it"])
    assert len(entered) == 1
