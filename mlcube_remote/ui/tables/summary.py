# SPDX-License-Identifier: Apache-2.0
"""The table at the end of a run: results, exit codes, seconds per stage, outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlcube_remote.events.failure import FailureKind, failure_kind
from mlcube_remote.events.model import Stage
from mlcube_remote.events.outcome import JobOutcome, PulledOutput, TaskOutcome
from mlcube_remote.events.output_state import OutputState
from mlcube_remote.ui.errors import task_reasons
from mlcube_remote.ui.host_ranges import MANY, format_ranges
from mlcube_remote.ui.tables.columns import format_table
from mlcube_remote.ui.text import one_line

_MAX_OUTPUTS = 8
"""Up to this many outputs are listed one by one; more are listed by folder."""

_SPARE = tuple(stage.value for stage in (Stage.CONNECT, Stage.CONFIGURE, Stage.SYNC, Stage.PULL))
"""Columns that are omitted in a narrow terminal, in this order."""

_MAX_PARAMETERS = 40
"""Maximum width of a job's sweep parameters, in characters."""


def summary_text(outcomes: Sequence[JobOutcome], *, width: int | None = None) -> str:
    """Return a row for each task, then the reasons of failures, then the outputs.

    If there are many jobs, only those that did not succeed have rows; cancelled jobs come last.

    Args:
        outcomes: The outcomes.
        width: Columns of the terminal; ``None``: no limit.
    """
    parts = []
    listed, omitted = list(outcomes), []
    if len(outcomes) > MANY:
        parts.append(_count_succeeded(outcomes))
        failed = [outcome for outcome in outcomes if not outcome.succeeded]
        failed.sort(key=lambda outcome: failure_kind(outcome) is FailureKind.CANCELLED)
        listed, omitted = failed[:MANY], failed[MANY:]
    if listed:
        parts.append(_task_table(listed, width))
    if omitted:
        names = format_ranges(outcome.label for outcome in omitted)
        parts.append(f"… and {len(omitted)} more: {names}")
    if reasons := reason_lines(listed):
        parts.append("\n".join(reasons))
    if outputs := _output_lines(outcomes):
        parts.append("outputs:\n" + "\n".join(f"  {line}" for line in outputs))
    return "\n\n".join(parts)


def _count_succeeded(outcomes: Sequence[JobOutcome]) -> str:
    """Return how many jobs succeeded, and how long they took."""
    seconds = sorted(_duration(each) for each in outcomes if each.succeeded)
    text = f"{len(seconds)} of {len(outcomes)} succeeded"
    if not seconds:
        return text
    median = seconds[len(seconds) // 2]
    return f"{text}, in {seconds[0]:.1f} to {seconds[-1]:.1f} s (median {median:.1f} s)"


def _duration(outcome: JobOutcome) -> float:
    """Return the seconds of a job; those of a command that did not follow it do not count."""
    stages = {Stage.RUN.value, Stage.CONFIGURE.value}
    if outcome.tasks and stages.isdisjoint(outcome.seconds):
        return sum(task.seconds or 0.0 for task in outcome.tasks)
    return sum(outcome.seconds.values())


def _task_table(outcomes: Sequence[JobOutcome], width: int | None) -> str:
    stages = [stage.value for stage in Stage if any(stage.value in o.seconds for o in outcomes)]
    is_sweep = any(outcome.parameters for outcome in outcomes)
    parameters = ["parameters"] if is_sweep else []
    rows = []
    for outcome in outcomes:
        seconds = [f"{outcome.seconds[s]:.1f}" if s in outcome.seconds else "" for s in stages]
        label = [outcome.label, *([format_parameters(outcome)] if is_sweep else [])]
        for task in outcome.tasks or (None,):
            exit_code = "" if task is None or task.exit_code is None else str(task.exit_code)
            name = task.task if task else "-"
            rows.append([*label, name, one_line(_result(outcome, task)), exit_code, *seconds])
            # Only the first row of a job shows its label, parameters and seconds.
            label, seconds = [""] * len(label), [""] * len(seconds)
    return format_table(
        ["host", *parameters, "task", "result", "exit", *stages],
        rows,
        width=width,
        spare=_SPARE,
        shrink=("parameters", "task", "host"),
    )


def format_parameters(outcome: JobOutcome) -> str:
    """Return the parameters that distinguish a job of a sweep from the others."""
    text = one_line(" ".join(f"{name}={value}" for name, value in outcome.parameters.items()))
    return text if len(text) <= _MAX_PARAMETERS else f"{text[: _MAX_PARAMETERS - 1]}…"


def _result(outcome: JobOutcome, task: TaskOutcome | None) -> str:
    if task is None:
        return "ready" if outcome.succeeded else outcome.status.value
    return task.status.value


def reason_lines(outcomes: Sequence[JobOutcome]) -> list[str]:
    """Return the reasons of tasks, which are too long for a column."""
    return [
        f"{outcome.label}: {one_line(reason)}"
        for outcome in outcomes
        for reason in task_reasons(outcome)
    ]


def _output_lines(outcomes: Sequence[JobOutcome]) -> list[str]:
    # Several tasks can write the same output: the last of them determines its state.
    last = {
        (outcome.label, output.path): output for outcome in outcomes for output in outcome.outputs
    }
    outputs = [(label, output) for (label, _), output in last.items()]
    if len(outputs) <= _MAX_OUTPUTS:
        return [
            f"{label}: {output.name}: {one_line(_short_path(output.path))}{_mark(output)}"
            for label, output in outputs
        ]
    if len(outcomes) > MANY:
        runs = dict.fromkeys(_result_folder(output.path).parent for _, output in outputs)
        return [one_line(_short_path(run)) for run in list(runs)[:_MAX_OUTPUTS]]
    folders = dict.fromkeys((label, _result_folder(output.path)) for label, output in outputs)
    return [f"{label}: {one_line(_short_path(folder))}" for label, folder in folders]


def _mark(output: PulledOutput) -> str:
    if output.state is OutputState.UNCHANGED:
        return " (unchanged: not of this run)"
    return " (incomplete)" if output.is_partial else ""


def _result_folder(path: Path) -> Path:
    """Return the folder ``results/RUN/JOB`` that contains a path, or else its parent."""
    parts = path.parts
    if "results" in parts[:-3]:
        at = len(parts) - 1 - parts[::-1].index("results")
        return Path(*parts[: at + 3])
    return path.parent


def _short_path(path: Path) -> str:
    """Return a path relative to the working directory if it is inside."""
    directory = Path.cwd()
    return str(path.relative_to(directory)) if path.is_relative_to(directory) else str(path)
