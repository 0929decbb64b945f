# SPDX-License-Identifier: Apache-2.0
"""Format aligned tables of plain text, and the lines below them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlcube_remote.errors import HostError
from mlcube_remote.ui.text import one_line


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table: a header, then rows, each column as wide as its widest cell."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def unreachable_lines(answers: Iterable[tuple[str, HostError | None]]) -> list[str]:
    """Return a line for each host that did not answer.

    Args:
        answers: Hosts, each with the error that prevented its answer, if any.
    """
    return [
        f"{host}: no answer: {one_line(error.reason)}"
        for host, error in answers
        if error is not None
    ]
