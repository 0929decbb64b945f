# SPDX-License-Identifier: Apache-2.0
"""Printing what went wrong: one line, then what to do about it."""

from __future__ import annotations

import os
import re
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from mlcube_remote._version import __version__
from mlcube_remote.errors import HostError, MLCubeRemoteError
from mlcube_remote.ui.host_ranges import MANY, folded
from mlcube_remote.ui.text import sanitise

DEBUG_VARIABLE = "MLCUBE_REMOTE_DEBUG"


def print_error(error: MLCubeRemoteError, stream: TextIO) -> None:
    """Print an error and its hint; further lines of either are indented, so none poses as new."""
    _print("error:", "31", error.message, stream)
    if error.hint:
        _print("hint:", "36", error.hint, stream)
    stream.flush()


def print_errors(errors: Sequence[MLCubeRemoteError], stream: TextIO) -> None:
    """Print what went wrong with several hosts, what they have in common once.

    Of more kinds than anybody would read the rest is counted: each stands in the results.
    """
    if len(errors) <= MANY:
        # Several jobs of one host may have come to the same end.
        for error in {(error.message, error.hint): error for error in errors}.values():
            print_error(error, stream)
        return
    kinds: dict[tuple[str, str], list[MLCubeRemoteError]] = {}
    for error in errors:
        kinds.setdefault((_apart(error, error.message), _apart(error, error.hint)), []).append(
            error
        )
    every = sorted(kinds.values(), key=len, reverse=True)
    for alike in every[:MANY]:
        hosts = [error.host for error in alike if isinstance(error, HostError)]
        if len(alike) == 1 or len(hosts) < len(alike):
            print_error(alike[0], stream)
            continue
        first = alike[0]
        reason = getattr(first, "reason", first.message)
        _print("error:", "31", f"{folded(hosts)} ({len(hosts)}): {reason}", stream)
        if first.hint:
            _print("hint:", "36", f"for {hosts[0]}: {first.hint}", stream)
    if left := sum(map(len, every[MANY:])):
        _print("error:", "31", f"… and {left} more", stream)
    stream.flush()


def _apart(error: MLCubeRemoteError, text: str | None) -> str:
    """Return a message without its host's name: what it shares with those of other hosts."""
    name = error.host if isinstance(error, HostError) else ""
    return (
        re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "\0", text or "") if name else text or ""
    )


def _print(word: str, colour: str, text: str, stream: TextIO) -> None:
    indented = sanitise(text).replace("\n", "\n" + " " * (len(word) + 1)).rstrip()
    stream.write(f"{_coloured(word, colour, stream)} {indented}\n")


def _coloured(word: str, colour: str, stream: TextIO) -> str:
    if not stream.isatty() or os.environ.get("NO_COLOR"):
        return word
    return f"\x1b[{colour}m{word}\x1b[0m"


def report_crash(error: BaseException, stream: TextIO) -> None:
    """Tell of a bug in a line, and keep its traceback in a file that only the user can read."""
    text = "".join(traceback.format_exception(error))
    if os.environ.get(DEBUG_VARIABLE):
        stream.write(text)
    last = traceback.format_exception_only(error)[-1].strip()
    _print("error:", "31", f"a bug in mlcube-remote: {last}", stream)
    try:
        state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        folder = Path(state).expanduser() / "mlcube-remote" / "crashes"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(prefix="crash-", suffix=".txt", dir=folder)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"mlcube-remote {__version__}\n{text}")
        hint = f"please report it with {path}"
    except OSError:
        hint = f"run it again with {DEBUG_VARIABLE}=1 and please report what it says"
    _print("hint:", "36", hint, stream)
    stream.flush()
