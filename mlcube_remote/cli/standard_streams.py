# SPDX-License-Identifier: Apache-2.0
"""Make standard streams that the caller has closed, or that cannot be written, end no command."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LOST_OUTPUT: list[OSError] = []
"""Why output of tasks could not be written to standard output; such a command does not succeed."""

READER_GONE = 141
"""Exit code of a command whose reader has closed the pipe (``| head``)."""


def leave_with_reader() -> NoReturn:
    """Exit now: the output has no reader any more. Threads may still follow logs of hosts."""
    os._exit(READER_GONE)


def prepare_standard_streams() -> None:
    """Open closed streams, and let standard error accept what it cannot write."""
    _open_closed_streams()
    # A caller that has replaced the stream, such as a test, reads it itself.
    if isinstance(sys.stderr, io.TextIOWrapper) and sys.stderr is sys.__stderr__:
        sys.stderr = _forgiving(sys.stderr)


def _open_closed_streams() -> None:
    """Open what the caller has closed (``>&-``); otherwise a connection would get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - it stays open


class _ForgivingFile(io.FileIO):
    """A file that loses what cannot be written: its reader has gone, or its disk is full.

    There is no other place to report that, and a run must not end because of its progress lines.
    """

    def write(self, data: ReadableBuffer, /) -> int:
        """Write as much as possible; say that all was written if nothing can be."""
        try:
            written: int | None = super().write(data)
        except OSError:
            written = None
        return memoryview(data).nbytes if written is None else written


def _forgiving(stream: TextIO) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(_ForgivingFile(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
    )
