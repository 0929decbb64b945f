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
    """Print an error and its hint."""
    stream.write(f"{_coloured('error:', '31', stream)} {sanitise(error.message)}\n")
    if error.hint:
        first, *rest = sanitise(error.hint).splitlines()
        stream.write(f"{_coloured('hint:', '36', stream)} {first}\n")
        stream.writelines(f"      {line}\n" for line in rest)
    stream.flush()


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
    stream.write(f"{_coloured('error:', '31', stream)} a bug in mlcube-remote: {sanitise(last)}\n")
    try:
        state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        folder = Path(state).expanduser() / "mlcube-remote" / "crashes"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(prefix="crash-", suffix=".txt", dir=folder)
        with os.fdopen(handle, "w") as file:
            file.write(f"mlcube-remote {__version__}\n{text}")
        stream.write(f"{_coloured('hint:', '36', stream)} please report it with {path}\n")
    except OSError:
        stream.write(f"hint: run it again with {DEBUG_VARIABLE}=1 and please report what it says\n")
    stream.flush()
