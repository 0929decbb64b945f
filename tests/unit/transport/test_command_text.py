# SPDX-License-Identifier: Apache-2.0
"""Every login shell passes the text of a command on as it is."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcube_remote.transport.command_text import render_command

WORDS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)
LOGIN_SHELLS = ["sh", "bash", "dash", "zsh", "fish", "tcsh", "busybox"]


def run(shell: str, command: str) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which(shell)
    if program is None:
        pytest.fail(f"{shell} is needed: make test installs it")
    argv = [program, "sh"] if shell == "busybox" else [program]
    return subprocess.run([*argv, "-c", command], input=b"typed", capture_output=True, check=False)


@pytest.mark.parametrize("shell", LOGIN_SHELLS)
def test_the_command_reads_its_input_and_returns_its_status(shell: str) -> None:
    done = run(shell, render_command("mlcr_run_in", ["/", "sh", "-c", "cat; echo $0; exit 7"]))
    assert (done.returncode, done.stdout, done.stderr) == (7, b"typedsh\n", b"")


@pytest.mark.parametrize("shell", LOGIN_SHELLS)
@given(words=st.lists(WORDS, max_size=4))
@settings(deadline=None, max_examples=15)
def test_words_arrive_as_they_are(shell: str, words: list[str]) -> None:
    done = run(shell, render_command("mlcr_run_in", ["/", "printf", "%s|", *words]))
    expected = "".join(f"{word}|" for word in words) or "|"
    assert (done.returncode, done.stdout.decode()) == (0, expected)
