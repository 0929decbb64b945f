# SPDX-License-Identifier: Apache-2.0
"""``--notify``: report the end of a run by a command of the user, or on the desktop."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import attrs

from mlcube_remote.events.outcome import OPEN, JobOutcome, Status
from mlcube_remote.ui.files.json_output import run_document

DESKTOP = "desktop"
"""The value of ``--notify`` that means no command."""

TIMEOUT_S = 60.0
"""Seconds after which a command is ended."""

_PREFIX = "MLCUBE_REMOTE_"
_OPERATOR = re.compile(r"\|\|?|&&?|;|[0-9]?(?:>>?|<)(?:&[0-9])?")
"""A word that a shell would not give to the program."""
_SESSION = ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS")
_OSASCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)


@attrs.frozen(kw_only=True)
class EndOfRun:
    """What a notification says."""

    run_id: str
    name: str
    """The run's own name; may be empty."""
    outcomes: Sequence[JobOutcome]
    exit_code: int

    @property
    def has_ended(self) -> bool:
        """Whether no job may still be running or queued."""
        return not any(outcome.status in OPEN for outcome in self.outcomes)

    @property
    def document(self) -> dict[str, Any]:
        """The same as with ``--output=json``."""
        return run_document(self.run_id, self.outcomes, self.exit_code)

    @property
    def failed(self) -> int:
        """Number of jobs without success."""
        return sum(outcome.status is not Status.SUCCEEDED for outcome in self.outcomes)

    @property
    def message(self) -> str:
        """One line: ``run sweep-a: 2 of 14 jobs failed``."""
        title = f"run {self.name or self.run_id}"
        count = len(self.outcomes)
        if count == 1:
            return f"{title} on {self.outcomes[0].host}: {self.outcomes[0].status.value}"
        if self.failed:
            return f"{title}: {self.failed} of {count} jobs failed"
        return f"{title}: all {count} jobs succeeded"

    @property
    def variables(self) -> dict[str, str]:
        """The facts as environment variables."""
        facts = {
            "RUN": self.run_id,
            "NAME": self.name,
            "STATUS": str(self.document["status"]),
            "EXIT_CODE": str(self.exit_code),
            "JOBS": str(len(self.outcomes)),
            "FAILED": str(self.failed),
            "MESSAGE": self.message,
        }
        return {f"{_PREFIX}{name}": value for name, value in facts.items()}


def split_command(text: str) -> list[str]:
    """Return the words of a command; it is run without a shell.

    Raises:
        ValueError: It is empty, has an open quote or a word that only a shell understands, or its
            program does not exist.
    """
    words = shlex.split(text)
    if not words:
        raise ValueError("expected a command, or desktop")
    if operator := next((word for word in words if _OPERATOR.fullmatch(word)), None):
        raise ValueError(f"{operator!r} is for a shell, and none runs it: sh -c 'COMMAND'")
    if shutil.which(words[0]) is None:
        raise ValueError(f"{words[0]!r}: no such program")
    return words


def notify(how: str, end: EndOfRun, screen: TextIO) -> str | None:
    """Report the end of a run.

    Args:
        how: ``desktop``, or a command.
        end: What to report.
        screen: Gets the output of the command, and rings if there is no desktop.

    Returns:
        Why that failed; ``None``: it did not.
    """
    try:
        if how == DESKTOP:
            return _notify_desktop(end, screen)
        given = json.dumps(end.document) + "\n"
        return _run(split_command(how), given, {**os.environ, **end.variables}, screen)
    except (OSError, ValueError) as problem:
        return str(problem)


def _notify_desktop(end: EndOfRun, screen: TextIO) -> str | None:
    words = _desktop_command("mlcube-remote", end.message)
    problem = "found neither notify-send with a desktop, nor osascript"
    if words is not None:
        failure = _run(words, "", os.environ, screen)
        if failure is None:
            return None
        problem = failure
    if not screen.isatty():
        return f"{problem}, nor a terminal to ring"
    screen.write("\a")
    screen.flush()
    return None


def _desktop_command(title: str, text: str) -> list[str] | None:
    if shutil.which("notify-send") and any(os.environ.get(name) for name in _SESSION):
        # The body may have markup.
        return ["notify-send", "--app-name=mlcube-remote", "--", title, html.escape(text)]
    if sys.platform == "darwin" and shutil.which("osascript"):
        script = [word for line in _OSASCRIPT for word in ("-e", line)]
        return ["osascript", *script, "--", title, text]
    return None


def _run(
    words: Sequence[str], given: str, environment: Mapping[str, str], screen: TextIO
) -> str | None:
    """Run a command with its output on the screen; return why it failed."""
    screen.flush()
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        # Standard output may be a JSON document.
        stdout=_descriptor(screen),
        stderr=_descriptor(screen),
        env=dict(environment),
        text=True,
        encoding="utf-8",
        # So that the whole of a pipeline can be ended.
        start_new_session=True,
    )
    try:
        process.communicate(given, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"{words[0]}: ended after {TIMEOUT_S:.0f} s"
    except KeyboardInterrupt:
        return f"{words[0]}: interrupted"
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return f"{words[0]}: exit code {process.returncode}" if process.returncode else None


def _descriptor(screen: TextIO) -> int:
    try:
        return screen.fileno()
    except (OSError, AttributeError, ValueError):
        return subprocess.DEVNULL
