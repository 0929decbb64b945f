# SPDX-License-Identifier: Apache-2.0
"""Printing what went wrong: one line, then what to do about it."""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path
from typing import TextIO

from mlcube_remote._version import __version__
from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.ui.text import sanitise

DEBUG_VARIABLE = "MLCUBE_REMOTE_DEBUG"


def print_error(error: MLCubeRemoteError, stream: TextIO) -> None:
    """Print an error and its hint; further lines of either are indented, so none poses as new."""
    _print("error:", "31", error.message, stream)
    if error.hint:
        _print("hint:", "36", error.hint, stream)
    stream.flush()


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
