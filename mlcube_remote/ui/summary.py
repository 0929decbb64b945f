# SPDX-License-Identifier: Apache-2.0
"""The table that closes a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from mlcube_remote.dispatch.events import Stage
from mlcube_remote.dispatch.outcome import JobOutcome, TaskOutcome
from mlcube_remote.ui.table import columns
from mlcube_remote.ui.text import one_line

_FEW = 8
"""Outputs are listed one by one up to this many, then by folder."""


def summary(outcomes: Sequence[JobOutcome]) -> str:
    """Return host, task, result, exit code, seconds per stage, and where the outputs are."""
    stages = [stage.value for stage in Stage if any(stage.value in o.seconds for o in outcomes)]
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
                    task.task if task else "-",
                    one_line(_result(outcome, task)),
                    "" if task is None or task.exit_code is None else str(task.exit_code),
                    *seconds,
                ]
            )
    parts = [columns(["host", "task", "result", "exit", *stages], rows)]
    if reasons := _reasons(outcomes):
        parts.append("\n".join(reasons))
    if outputs := _outputs(outcomes):
        parts.append("outputs:\n" + "\n".join(f"  {line}" for line in outputs))
    return "\n\n".join(parts)


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
    every = [(outcome.label, output) for outcome in outcomes for output in outcome.outputs]
    if len(every) <= _FEW:
        return [
            f"{host}: {output.name}: {one_line(shown(output.path))}"
            f"{' (incomplete)' if output.is_partial else ''}"
            for host, output in every
        ]
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
