# SPDX-License-Identifier: Apache-2.0
"""Make a table fit a terminal: fold constant columns into a line, then leave out the last ones."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from mlcube_remote.ui.tables.columns import columns_of, format_table

WIDTH = 80
"""Number of characters in a line of a usual terminal."""

_GAP = 2


def fit_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    kept: Collection[str] = (),
    width: int = WIDTH,
) -> str:
    """Return a table that is as wide as a terminal at most.

    A table that is too wide loses the columns that have the same cell in all rows: a line above
    names them. If that is not enough, a line below names the columns that are left out.

    Args:
        header: Names of the columns.
        rows: The cells.
        kept: Columns that are neither folded nor left out.
        width: Number of characters in a line.
    """
    columns = [(name, [row[index] for row in rows]) for index, name in enumerate(header)]
    above: list[str] = []
    if _width(columns) > width and len(rows) > 1:
        constant = [(name, cells) for name, cells in columns if len(set(cells)) == 1]
        folded = {name for name, _ in constant if name not in kept}
        above = [f"{name}={cells[0]}" for name, cells in constant if name in folded and cells[0]]
        columns = [column for column in columns if column[0] not in folded] or columns
    left_out: list[str] = []
    for column in reversed(columns):
        if _width([each for each in columns if each[0] not in left_out]) <= width:
            break
        if column[0] not in kept and len(left_out) < len(columns) - 1:
            left_out.insert(0, column[0])
    shown = [column for column in columns if column[0] not in left_out]
    table = format_table(
        [name for name, _ in shown], list(zip(*(cells for _, cells in shown), strict=True))
    )
    parts = [_wrap("  ".join(above), width)] if above else []
    parts.append(table)
    if left_out:
        parts.append(_wrap(f"not shown (--columns): {', '.join(left_out)}", width))
    return "\n\n".join(parts)


def _width(columns: Sequence[tuple[str, Sequence[str]]]) -> int:
    widths = [max(map(columns_of, (name, *cells))) for name, cells in columns]
    return sum(widths) + _GAP * (len(widths) - 1)


def _wrap(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))
