# SPDX-License-Identifier: Apache-2.0
"""Findings of ``verify``, ``diff`` and ``rerun --verify`` as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mlcube_remote.files.verify import Finding, Verdict
from mlcube_remote.runs.compare import Difference, OutputComparison
from mlcube_remote.ui.tables.columns import format_table
from mlcube_remote.ui.text import one_line

_DIGEST = 64
_SHOWN = 12
"""Number of digits of a digest that are shown."""


def findings_text(findings: Sequence[Finding]) -> str:
    """Return a line for each file that is not as recorded, and a summary."""
    wrong = [item for item in findings if item.verdict is not Verdict.SAME]
    lines = [f"{item.verdict.value}: {item.what}: {one_line(item.path)}" for item in wrong]
    counts = Counter(item.verdict.value for item in findings)
    summary = ", ".join(
        f"{counts[each.value]} {each.value}" for each in Verdict if counts[each.value]
    )
    return "\n".join(
        [*map(one_line, lines), summary or "nothing was recorded that could be compared"]
    )


def differences_text(differences: Sequence[Difference]) -> str:
    """Return a line for each difference, or a line that says that there is none."""
    if not differences:
        return "no difference"
    lines = []
    for item in differences:
        job = f"{item.job}: " if item.job else ""
        note = f" ({item.note})" if item.note else ""
        values = f"{_value(item.before)} → {_value(item.after)}"
        lines.append(one_line(f"{job}{item.about}: {item.key}: {values}{note}"))
    return "\n".join(lines)


def outputs_text(compared: Sequence[OutputComparison]) -> str:
    """Return a table of outputs: identical or different, and by how much."""
    rows = [
        [item.job, item.output, "identical" if item.is_identical else "different", item.note]
        for item in compared
    ]
    return format_table(
        ["job", "output", "result", "by how much"],
        [[one_line(cell) for cell in row] for row in rows],
    )


def _value(value: Any) -> str:
    if value is None:
        return "-"
    text = str(value)
    is_digest = len(text) == _DIGEST and all(digit in "0123456789abcdef" for digit in text)
    return text[:_SHOWN] if is_digest else text
