# SPDX-License-Identifier: Apache-2.0
"""``--dry-run``: every command, so that it can be read, and pasted into a shell on the host."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import attrs

Argv = tuple[str, ...]


@attrs.frozen(kw_only=True)
class PlannedTask:
    """One task on one host, as it would run."""

    host: str
    platform: str
    task: str
    configure: tuple[Argv, ...]
    run: tuple[Argv, ...]
    creates: tuple[str, ...]
    launch: Argv
    """What is added to the last of ``run`` so that the container can be found again."""


def dry_run_document(tasks: Sequence[PlannedTask]) -> dict[str, Any]:
    """Return the plan for programs."""
    return {
        "jobs": [
            {
                "host": item.host,
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


def quoted(word: str) -> str:
    """Quote a word for a shell; a leading ``~/`` stays open, since nobody asked the host."""
    if word.startswith("~/"):
        return "~/" + (shlex.quote(word[2:]) if word[2:] else "")
    return shlex.quote(word)


def command_line(argv: Argv) -> str:
    """Return a command as one would type it."""
    return " ".join(quoted(word) for word in argv)


def dry_run_text(tasks: Sequence[PlannedTask], notes: Mapping[str, Sequence[str]]) -> str:
    """Return the plan for people: lines with ``#`` explain, all others can be pasted."""
    blocks = []
    for host, group in groupby(tasks, key=lambda item: item.host):
        items = list(group)
        lines = [f"# {host} ({items[0].platform})"]
        lines += [f"# {note}" for note in notes.get(host, ())]
        lines.append("# configure, if the image is not there:")
        lines += [command_line(argv) for argv in items[0].configure]
        for item in items:
            lines.append(f"# task {item.task}:")
            if item.creates:
                lines.append(command_line(("mkdir", "-p", *item.creates)))
            lines += [command_line(argv) for argv in item.run]
            if item.launch:
                lines.append(f"# with, to name, label and confine it: {command_line(item.launch)}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
