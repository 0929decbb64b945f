# SPDX-License-Identifier: Apache-2.0
"""The table that closes a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from mlcube_remote.events.failure import FailureKind, failure_kind
from mlcube_remote.events.model import Stage
from mlcube_remote.events.outcome import JobOutcome, TaskOutcome
from mlcube_remote.ui.folding import MANY, folded
from mlcube_remote.ui.table import columns
from mlcube_remote.ui.text import one_line

_FEW = 8
"""Outputs are listed one by one up to this many, then by folder."""

_WIDEST = 40
"""Characters of what a sweep gave a job."""


def summary(outcomes: Sequence[JobOutcome]) -> str:
    """Return host, task, result, exit code, seconds per stage, and where the outputs are.

    Of many jobs only those that did not succeed have rows, and what was cancelled because of others
    comes behind these.
    """
    many = len(outcomes) > MANY
    listed = [outcome for outcome in outcomes if not (many and outcome.succeeded)]
    if many:
        listed.sort(key=lambda outcome: failure_kind(outcome) is FailureKind.CANCELLED)
    left = listed[MANY:] if many else []
    listed = listed[: len(listed) - len(left)]
    parts = [_succeeded(outcomes)] if many else []
    if listed:
        parts.append(_table(listed))
    if left:
        parts.append(f"… and {len(left)} more: {folded(outcome.label for outcome in left)}")
    if reasons := _reasons(listed):
        parts.append("\n".join(reasons))
    if outputs := _outputs(outcomes):
        parts.append("outputs:\n" + "\n".join(f"  {line}" for line in outputs))
    return "\n\n".join(parts)


def _succeeded(outcomes: Sequence[JobOutcome]) -> str:
    """Return how many of many jobs succeeded, and how long they took."""
    well = [outcome for outcome in outcomes if outcome.succeeded]
    seconds = sorted(sum(outcome.seconds.values()) for outcome in well)
    text = f"{len(well)} of {len(outcomes)} succeeded"
    if not seconds:
        return text
    middle = seconds[len(seconds) // 2]
    return f"{text}, in {seconds[0]:.1f} to {seconds[-1]:.1f} s (median {middle:.1f} s)"


def _table(outcomes: Sequence[JobOutcome]) -> str:
    stages = [stage.value for stage in Stage if any(stage.value in o.seconds for o in outcomes)]
    swept = any(outcome.parameters for outcome in outcomes)
    rows = []
    for outcome in outcomes:
        for index, task in enumerate(outcome.tasks or (None,)):
            seconds = [
                f"{outcome.seconds[stage]:.1f}" if index == 0 and stage in outcome.seconds else ""
                for stage in stages
            ]
            rows.append(
                [
                    outcome.label if index == 0 else "",
                    *([_given(outcome) if index == 0 else ""] if swept else []),
                    task.task if task else "-",
                    one_line(_result(outcome, task)),
                    "" if task is None or task.exit_code is None else str(task.exit_code),
                    *seconds,
                ]
            )
    given = ["given"] if swept else []
    return columns(["host", *given, "task", "result", "exit", *stages], rows)


def _given(outcome: JobOutcome) -> str:
    """Return what tells a job of a sweep from the others."""
    text = one_line(" ".join(f"{name}={value}" for name, value in outcome.parameters.items()))
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _result(outcome: JobOutcome, task: TaskOutcome | None) -> str:
    if task is None:
        return "ready" if outcome.succeeded else outcome.status.value
    return task.status.value


def _reasons(outcomes: Sequence[JobOutcome]) -> list[str]:
    """Return why tasks ended as they did, where that is known; too long for a column."""
    return [
        f"{outcome.label}: {task.task}: {one_line(task.reason)}"
        for outcome in outcomes
        for task in outcome.tasks
        if task.reason
    ]


def _outputs(outcomes: Sequence[JobOutcome]) -> list[str]:
    # Several tasks may have the same output: how the last of them left it is what there is.
    last = {
        (outcome.label, output.path): output for outcome in outcomes for output in outcome.outputs
    }
    every = [(host, output) for (host, _), output in last.items()]
    if len(every) <= _FEW:
        return [
            f"{host}: {output.name}: {one_line(shown(output.path))}"
            f"{' (incomplete)' if output.is_partial else ''}"
            for host, output in every
        ]
    if len(outcomes) > MANY:
        tops = dict.fromkeys(_folder(output.path).parent for _, output in every)
        return [one_line(shown(top)) for top in list(tops)[:_FEW]]
    folders = dict.fromkeys((host, _folder(output.path)) for host, output in every)
    return [f"{host}: {one_line(shown(folder))}" for host, folder in folders]


def _folder(path: Path) -> Path:
    """Return the folder of results that a path is in, or its own parent."""
    parts = path.parts
    if "results" in parts[:-3]:
        at = len(parts) - 1 - parts[::-1].index("results")
        return Path(*parts[: at + 3])
    return path.parent


def shown(path: Path) -> str:
    """Return a path relative to here when it is below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def print_summary(outcomes: Sequence[JobOutcome], stream: TextIO) -> None:
    """Print the closing table."""
    stream.write(f"\n{summary(outcomes)}\n")
    stream.flush()
