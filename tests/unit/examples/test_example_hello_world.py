# SPDX-License-Identifier: Apache-2.0
"""hello_world.sh as MLCube calls it, through every POSIX shell that is here."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "examples/hello_world/project/hello_world.sh"
SHELLS = [
    shell
    for shell in (["dash"], ["bash", "--posix"], ["busybox", "sh"])
    if shutil.which(shell[0]) is not None
]

Hello = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def hello(request: pytest.FixtureRequest) -> Hello:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*request.param, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
        )

    return call


@pytest.fixture
def name(tmp_path: Path) -> Path:
    path = tmp_path / "names of friends.txt"
    path.write_text("Alice\n")
    return path


def test_bye_adds_to_the_chat_that_hello_starts(hello: Hello, name: Path, tmp_path: Path) -> None:
    chat = tmp_path / "chat.txt"
    for task in ("hello", "hello", "bye"):
        result = hello(task, f"--name={name}", f"--chat={chat}")
        assert (result.returncode, result.stderr) == (0, "")
    assert chat.read_text() == (
        "Hello, Alice! Nice to meet you.\nGood-bye, Alice! It was nice talking to you.\n"
    )
    assert result.stdout == "Good-bye, Alice! It was nice talking to you.\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chat.txt", name.name]


@pytest.mark.parametrize(
    "given", ["Zoë", "$(id)", "a'b\"c", "-n", "%s\\n", "  two  words ", "back\\slash"]
)
def test_any_name_is_only_text(hello: Hello, name: Path, tmp_path: Path, given: str) -> None:
    name.write_text(given)  # without a newline at the end
    hello("hello", f"--name={name}", f"--chat={tmp_path / 'chat'}")
    assert (tmp_path / "chat").read_text() == f"Hello, {given}! Nice to meet you.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no task given"),
        (["greet"], "unknown task 'greet'"),
        (["hello", "--nmae=x"], "unknown argument '--nmae=x'"),
        (["hello", "--chat=chat"], "--name=FILE is missing"),
        (["hello", "--name=name"], "--chat=FILE is missing"),
        (["hello", "--name=/no/such", "--chat=chat"], "/no/such: no such file"),
        (["hello", "--name=/dev/null", "--chat=chat"], "/dev/null: no such file"),
    ],
)
def test_bad_call_ends_with_2_and_one_line(
    hello: Hello, arguments: list[str], message: str
) -> None:
    result = hello(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith(f"hello_world: {message}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("content", "what"), [("", "empty"), ("\nAlice\n", "empty line")])
def test_file_without_a_name_ends_with_2(
    hello: Hello, name: Path, tmp_path: Path, content: str, what: str
) -> None:
    name.write_text(content)
    result = hello("hello", f"--name={name}", f"--chat={tmp_path / 'chat'}")
    assert result.returncode == 2
    assert what in result.stderr
    assert not (tmp_path / "chat").exists()


def test_chat_that_cannot_be_written_ends_with_1(hello: Hello, name: Path) -> None:
    result = hello("hello", f"--name={name}", "--chat=/no/such/folder/chat")
    assert result.returncode == 1
    assert "/no/such/folder/chat" in result.stderr
