# SPDX-License-Identifier: Apache-2.0
"""Aligned columns of plain text."""

from __future__ import annotations

from collections.abc import Sequence


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table: a header, then rows, each column as wide as its widest cell."""
    every = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(row[index]) for row in every) for index in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    )
