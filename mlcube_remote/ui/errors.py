# SPDX-License-Identifier: Apache-2.0
"""Print errors: one line, then a hint. Say in a few words why a job failed."""

from __future__ import annotations

import os
import re
import tempfile
import traceback
from collections.abc import Sequence
from typing import TextIO

import click

from mlcube_remote._version import __version__
from mlcube_remote.directories import make_private_directory, state_home
from mlcube_remote.errors import HostError, MLCubeRemoteError, RecordError
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.ui.host_ranges import MANY, format_ranges
from mlcube_remote.ui.text import has_colour, sanitise

DEBUG_VARIABLE = "MLCUBE_REMOTE_DEBUG"


def failure_reason(outcome: JobOutcome) -> str:
    """Return why a job did not succeed, in a few words; an empty text if it succeeded."""
    if outcome.error is not None:
        return error_reason(outcome.error)
    for task in outcome.tasks:
        if task.status is not Status.SUCCEEDED:
            return f"{task.task}: {task_reason(task)}"
    return ""


def task_reason(task: TaskOutcome) -> str:
    """Return why a task did not succeed, in a few words."""
    return task.reason or f"exit code {task.exit_code}"


def task_reasons(outcome: JobOutcome) -> list[str]:
    """Return the reasons of a job's tasks, ``TASK: REASON`` each; exit codes are no reasons."""
    return [f"{task.task}: {task.reason}" for task in outcome.tasks if task.reason]


def error_reason(error: MLCubeRemoteError) -> str:
    """Return an error's message without the host's name."""
    return error.reason if isinstance(error, HostError) else error.message


def print_error(error: MLCubeRemoteError, stream: TextIO) -> None:
    """Print an error and its hint; further lines of both are indented, so none looks like new."""
    _print_labelled("error:", error.message, stream)
    if error.hint:
        _print_labelled("hint:", error.hint, stream)
    stream.flush()


def print_errors(errors: Sequence[MLCubeRemoteError], stream: TextIO) -> None:
    """Print the errors of several hosts: an error that many hosts share is printed once.

    At most :data:`MANY` kinds of errors are printed, the most frequent first; the rest is counted.
    The results contain them all.
    """
    if len(errors) <= MANY:
        # Several jobs of one host may have failed with the same error.
        for error in {(error.message, error.hint): error for error in errors}.values():
            print_error(error, stream)
        return
    kinds: dict[tuple[str, str], list[MLCubeRemoteError]] = {}
    for error in errors:
        kind = _without_host(error, error.message), _without_host(error, error.hint or "")
        kinds.setdefault(kind, []).append(error)
    groups = sorted(kinds.values(), key=len, reverse=True)
    for group in groups[:MANY]:
        _print_group(group, stream)
    if omitted := sum(map(len, groups[MANY:])):
        _print_labelled("error:", f"… and {omitted} more", stream)
    stream.flush()


def _print_group(errors: Sequence[MLCubeRemoteError], stream: TextIO) -> None:
    """Print one error that several hosts share."""
    first = errors[0]
    hosts = [error.host for error in errors if isinstance(error, HostError)]
    if len(errors) == 1 or len(hosts) < len(errors):
        print_error(first, stream)
        return
    text = f"{format_ranges(hosts)} ({len(hosts)}): {error_reason(first)}"
    _print_labelled("error:", text, stream)
    if first.hint:
        _print_labelled("hint:", f"for {hosts[0]}: {first.hint}", stream)


def _without_host(error: MLCubeRemoteError, text: str) -> str:
    """Return a text without the host's name, to compare it with those of other hosts."""
    if not isinstance(error, HostError) or not error.host:
        return text
    return re.sub(rf"(?<![\w-]){re.escape(error.host)}(?![\w-])", "\0", text)


_COLOURS = {"error:": "red", "hint:": "cyan"}


def _print_labelled(label: str, text: str, stream: TextIO) -> None:
    indented = sanitise(text).replace("\n", "\n" + " " * (len(label) + 1)).rstrip()
    if has_colour(stream):
        label = click.style(label, fg=_COLOURS[label])
    stream.write(f"{label} {indented}\n")


def report_crash(error: BaseException, stream: TextIO) -> None:
    """Print a bug as one line, and save its traceback in a file that only the user can read.

    What the operating system has refused is no bug, and is printed as other errors are.
    """
    text = "".join(traceback.format_exception(error))
    if os.environ.get(DEBUG_VARIABLE):
        stream.write(text)
    if (refused := RecordError.of_system(error)) is not None:
        print_error(refused, stream)
        return
    last_line = traceback.format_exception_only(error)[-1].strip()
    _print_labelled("error:", f"a bug in mlcube-remote: {last_line}", stream)
    try:
        hint = f"please report it and attach {_save_traceback(text)}"
    except OSError:
        hint = f"please run the command again with {DEBUG_VARIABLE}=1 and report its output"
    _print_labelled("hint:", hint, stream)
    stream.flush()


def _save_traceback(text: str) -> str:
    """Write a traceback to a new file and return its path."""
    folder = state_home() / "crashes"
    make_private_directory(folder)
    handle, path = tempfile.mkstemp(prefix="crash-", suffix=".txt", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"mlcube-remote {__version__}\n{text}")
    return path
