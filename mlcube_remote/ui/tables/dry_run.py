# SPDX-License-Identifier: Apache-2.0
"""``--dry-run``: all commands of a run, to read or to paste into a shell on the host."""

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
    """Return the plan as JSON."""
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


def dry_run_text(tasks: Sequence[PlannedTask], notes: Mapping[str, Sequence[str]]) -> str:
    """Return the plan as text: lines with ``#`` are comments, all others can be pasted.

    Args:
        tasks: The commands, those of one job next to each other.
        notes: Comments for each job, by its label.
    """
    blocks = []
    for job_label, group in groupby(tasks, key=lambda item: label(item.job, item.host)):
        items = list(group)
        lines = [f"# {job_label} ({items[0].platform})"]
        lines += [f"# {one_line(note)}" for note in notes.get(job_label, ())]
        condition = ", if the image is missing" if items[0].task else ""
        if items[0].configure:
            lines.append(f"# configure{condition}:")
        lines += [command_line(argv) for argv in items[0].configure]
        for item in items:
            lines += _task_lines(item)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _task_lines(item: PlannedTask) -> list[str]:
    lines = [f"# task {item.task}:"] if item.task else []
    if item.creates:
        lines.append(command_line(("mkdir", "-p", *_leaves(item.creates))))
    lines += [command_line(argv) for argv in item.run]
    if item.launch:
        options = command_line(item.launch)
        lines.append(f"# plus options to name, label and confine the container: {options}")
    return lines


def _leaves(directories: Sequence[str]) -> list[str]:
    """Return the directories that contain none of the others: ``mkdir -p`` creates parents."""
    parents = {str(parent) for each in directories for parent in PurePosixPath(each).parents}
    return [each for each in directories if each not in parents]


def command_line(argv: Argv) -> str:
    """Return a command as a line to paste into a shell."""
    return " ".join(quote_word(word) for word in argv)


def quote_word(word: str) -> str:
    r"""Quote a word for a shell; a leading ``~/`` stays unquoted for the host's shell to expand.

    Control characters, and bytes that are not UTF-8, become ``"$(printf '\033')"``.
    """
    if word.startswith("~/"):
        return "~/" + (_quote(word[2:]) if word[2:] else "")
    return _quote(word)


def _quote(word: str) -> str:
    if not CONTROLS.search(word):
        return shlex.quote(word)
    parts = []
    for is_control, group in groupby(word, key=lambda char: bool(CONTROLS.match(char))):
        text = "".join(group)
        parts.append(_printf(text) if is_control else shlex.quote(text))
    return "".join(parts)


def _printf(text: str) -> str:
    octal = "".join(f"\\{byte:03o}" for byte in text.encode("utf-8", "surrogateescape"))
    return f"\"$(printf '{octal}')\""
