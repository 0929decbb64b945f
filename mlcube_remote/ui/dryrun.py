# SPDX-License-Identifier: Apache-2.0
"""``--dry-run``: every command, so that it can be read, and pasted into a shell on the host."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from mlcube_remote.plan.planned_task import PlannedTask
from mlcube_remote.runs.ids import label
from mlcube_remote.ui.text import CONTROLS, one_line

Argv = tuple[str, ...]


def dry_run_document(tasks: Sequence[PlannedTask]) -> dict[str, Any]:
    """Return the plan for programs."""
    return {
        "jobs": [
            {
                "host": item.host,
                **({"job": item.job} if item.job else {}),
                "platform": item.platform,
                "task": item.task,
                "configure": [list(argv) for argv in item.configure],
                "run": [list(argv) for argv in item.run],
                "creates": list(item.creates),
                "launch": list(item.launch),
            }
            for item in tasks
        ]
    }


def _deepest(directories: Sequence[str]) -> list[str]:
    """Return those that are in none of the others: ``mkdir -p`` makes what is above them."""
    above = {str(parent) for each in directories for parent in PurePosixPath(each).parents}
    return [each for each in directories if each not in above]


def quoted(word: str) -> str:
    r"""Quote a word for a shell; a leading ``~/`` stays open, since nobody asked the host.

    What a terminal would obey, or is no text, is spelt out: ``"$(printf '\033')"``.
    """
    if word.startswith("~/"):
        return "~/" + (_quoted(word[2:]) if word[2:] else "")
    return _quoted(word)


def _quoted(word: str) -> str:
    if not CONTROLS.search(word):
        return shlex.quote(word)
    parts = []
    for hidden, group in groupby(word, key=lambda char: bool(CONTROLS.match(char))):
        text = "".join(group)
        parts.append(_spelt_out(text) if hidden else shlex.quote(text))
    return "".join(parts)


def _spelt_out(text: str) -> str:
    octal = "".join(f"\\{byte:03o}" for byte in text.encode("utf-8", "surrogateescape"))
    return f"\"$(printf '{octal}')\""


def command_line(argv: Argv) -> str:
    """Return a command as one would type it."""
    return " ".join(quoted(word) for word in argv)


def dry_run_text(tasks: Sequence[PlannedTask], notes: Mapping[str, Sequence[str]]) -> str:
    """Return the plan for people: lines with ``#`` explain, all others can be pasted."""
    blocks = []
    for name, group in groupby(tasks, key=lambda item: label(item.job, item.host)):
        items = list(group)
        lines = [f"# {name} ({items[0].platform})"]
        lines += [f"# {one_line(note)}" for note in notes.get(name, ())]
        absent = ", if the image is not there" if items[0].task else ""
        lines.append(f"# configure{absent}:")
        lines += [command_line(argv) for argv in items[0].configure]
        for item in items:
            lines += [f"# task {item.task}:"] if item.task else []
            if item.creates:
                lines.append(command_line(("mkdir", "-p", *_deepest(item.creates))))
            lines += [command_line(argv) for argv in item.run]
            if item.launch:
                lines.append(f"# with, to name, label and confine it: {command_line(item.launch)}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
