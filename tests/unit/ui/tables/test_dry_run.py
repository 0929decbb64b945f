# SPDX-License-Identifier: Apache-2.0
"""A dry run prints commands that can be pasted into a shell."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.plan.planned_task import PlannedTask
from mlcube_remote.ui.tables.dry_run import (
    command_line,
    dry_run_document,
    dry_run_text,
)

PLANNED = PlannedTask(
    host="h",
    platform="docker",
    task="t",
    configure=(("docker", "pull", "x"),),
    run=(("docker", "run", "~/a b/$(id):/io", "it's", "x", "--v=\n"),),
    creates=("~/a b",),
    launch=("--name", "n"),
)


def test_a_dry_run_can_be_pasted(tmp_path: Path) -> None:
    text = dry_run_text([PLANNED], {"h": ["sync a to b"]})
    assert text.startswith("# h (docker)\n# sync a to b\n")
    line = command_line(PLANNED.run[0])
    assert line in text
    script = f'docker() {{ printf "%s\\0" "$@"; }}\n{line}\n'
    done = subprocess.run(
        ["sh", "-c", script], env={"HOME": "/home/me"}, capture_output=True, check=True
    )
    words = done.stdout.decode().split("\0")[:-1]
    assert words == ["run", "/home/me/a b/$(id):/io", "it's", "x", "--v=\n"]
    assert command_line(("~/",)) == "~/"
    (job,) = dry_run_document([PLANNED])["jobs"]
    assert job["run"] == [list(PLANNED.run[0])]
    assert list(job) == ["host", "platform", "task", "configure", "run", "creates", "launch"]
    deep = attrs.evolve(PLANNED, creates=("/", "/a", "/a/b", "/a/b/c", "/a/bc"))
    assert "\nmkdir -p /a/b/c /a/bc\n" in dry_run_text([deep], {}), "mkdir -p creates the parents"
    assert dry_run_document([deep])["jobs"][0]["creates"] == [*deep.creates]
    (job,) = dry_run_document([attrs.evolve(PLANNED, job="07")])["jobs"]
    assert job["job"] == "07"


def test_a_dry_run_of_configure_has_no_task() -> None:
    planned = attrs.evolve(PLANNED, task=None, run=(), creates=(), launch=())
    text = dry_run_text([planned], {})
    assert text == "# h (docker)\n# configure:\ndocker pull x"
    (job,) = dry_run_document([planned])["jobs"]
    assert (job["task"], job["run"]) == (None, [])


def test_a_note_with_a_newline_stays_one_comment() -> None:
    text = dry_run_text([PLANNED], {"h": ["sync a\nrm -rf b"]})
    assert "# sync a\\nrm -rf b\n" in text


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["C"]))))
def test_words_without_control_characters_are_quoted_for_any_shell(words: list[str]) -> None:
    tame = [word for word in words if not word.startswith("~/")]
    assert shlex.split(command_line(tuple(tame))) == tame


@pytest.mark.parametrize(
    "word",
    [
        "\x1b[31m it's",
        "a\udcffb",
        "\x07\n\n",
        "\n\x07",
        "\u202e",
        "100%\x01\\n",
        "~/\x1b'",
        "~/~/a",
    ],
)
def test_control_characters_in_words_become_octal_escapes(word: str) -> None:
    line = command_line((word,))
    assert not set(line.replace("\n", "")) & set("\x1b\x07\x01\u202e\udcff")
    done = subprocess.run(
        ["sh", "-c", f"printf '%s.' {line}"], env={"HOME": "/h"}, capture_output=True, check=True
    )
    meant = "/h" + word[1:] if word.startswith("~/") else word
    assert done.stdout == os.fsencode(meant) + b"."
