# SPDX-License-Identifier: Apache-2.0
"""Format aligned tables of plain text that fit the terminal, and the lines below them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mlcube_remote.errors import HostError
from mlcube_remote.ui.text import one_line

_GAP = "  "
_MIN_WIDTH = 10
"""A column is not made narrower than this, as long as others can be."""
_LEAST_WIDTH = 4
"""A column of a very narrow terminal."""


def format_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None = None,
    spare: Sequence[str] = (),
    shrink: Sequence[str] = (),
) -> str:
    """Return a table: a header, then rows, each column as wide as its widest cell.

    Args:
        header: The names of the columns.
        rows: The cells.
        width: Maximum width of a line; ``None``: no limit.
        spare: Columns to omit if the table is too wide, in this order.
        shrink: Columns to shorten if that is not enough, in this order. If all of them are short
            and there are several, the first one is omitted, and then the widest are shortened
            further.
    """
    lines = [tuple(header), *(tuple(row) for row in rows)]
    if width is not None:
        lines = _shorten(_omit(lines, width, spare), width, shrink)
        lines = _squeeze(_omit(lines, width, shrink[:-1][:1]), width)
    widths = _widths(lines)
    text = [
        _GAP.join(_pad(cell, wide) for cell, wide in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(text if width is None else (shorten(line, width) for line in text))


def shorten(text: str, width: int) -> str:
    """Return a text that takes at most ``width`` columns; ``…`` at its end if it was longer."""
    if columns_of(text) <= width:
        return text
    free = max(0, width - 1)
    if text.isascii():
        return f"{text[:free]}…"
    from rich.cells import set_cell_size  # noqa: PLC0415 - slow, and most tables are ASCII

    return f"{set_cell_size(text, free).rstrip()}…"


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: Chinese characters take two each."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - as above

    return cell_len(text)


def _pad(cell: str, width: int) -> str:
    return cell + " " * (width - columns_of(cell))


Lines = list[tuple[str, ...]]


def _widths(lines: Lines) -> list[int]:
    return [max(map(columns_of, column)) for column in zip(*lines, strict=True)]


def _excess(lines: Lines, width: int) -> int:
    """Return by how many characters the table is too wide."""
    widths = _widths(lines)
    return sum(widths) + len(_GAP) * (len(widths) - 1) - width


def _omit(lines: Lines, width: int, spare: Sequence[str]) -> Lines:
    for name in spare:
        if _excess(lines, width) <= 0:
            break
        if name in lines[0]:
            at = lines[0].index(name)
            lines = [(*line[:at], *line[at + 1 :]) for line in lines]
    return lines


def _shorten(lines: Lines, width: int, shrink: Sequence[str]) -> Lines:
    for name in shrink:
        excess = _excess(lines, width)
        if excess <= 0:
            break
        if name in lines[0]:
            at = lines[0].index(name)
            most = max(_MIN_WIDTH, len(name), _widths(lines)[at] - excess)
            lines = _limit(lines, at, most)
    return lines


def _squeeze(lines: Lines, width: int) -> Lines:
    """Shorten the widest columns until the table fits, so that the last ones are not cut off."""
    while (excess := _excess(lines, width)) > 0:
        widths = _widths(lines)
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= _LEAST_WIDTH:
            break
        others = max((wide for at, wide in enumerate(widths) if at != widest), default=0)
        most = max(_LEAST_WIDTH, widths[widest] - excess, min(others, widths[widest] - 1))
        lines = _limit(lines, widest, most)
    return lines


def _limit(lines: Lines, at: int, most: int) -> Lines:
    return [(*line[:at], shorten(line[at], most), *line[at + 1 :]) for line in lines]


def unreachable_lines(
    answers: Iterable[tuple[str, HostError | None]], last_runs: Mapping[str, str] | None = None
) -> list[str]:
    """Return a line for each host that did not answer: its age, then why.

    The reason may be long, and is what a narrow terminal cuts off.

    Args:
        answers: Hosts, each with the error that prevented its answer, if any.
        last_runs: Host → how long ago the newest run was started there.
    """
    ages = last_runs or {}
    return [
        f"{host}: no answer"
        + (f" (last run {ages[host]} ago)" if host in ages else "")
        + f": {one_line(error.reason)}"
        for host, error in answers
        if error is not None
    ]
