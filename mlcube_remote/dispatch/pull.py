# SPDX-License-Identifier: Apache-2.0
"""Pull the outputs of a job, and check that its tasks have made all that they declare."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path

import attrs

from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.dispatch.finish import JobProgress, Phase
from mlcube_remote.events.model import Stage
from mlcube_remote.events.outcome import PulledOutput, Status, TaskOutcome
from mlcube_remote.events.output_content import describe_output
from mlcube_remote.files.download import DownloadResult, download
from mlcube_remote.files.received import Omitted
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest
from mlcube_remote.runs.digests import Digests
from mlcube_remote.transport.base import Connection

_SHOWN_OMITTED = 3
"""Number of omitted entries that a warning names."""


@attrs.frozen(kw_only=True)
class Downloads:
    """What a pull has done."""

    outputs: tuple[PulledOutput, ...]
    """Outputs that are on this machine now, also if the pull failed later."""
    missing: tuple[DownloadRequest, ...] = ()
    """Declared outputs that do not exist."""
    error: Exception | None = None
    """Why the pull is incomplete."""


def pull_into(
    job: JobContext,
    handle: JobHandle,
    progress: JobProgress,
    tasks: set[str],
    *,
    names: frozenset[str] = frozenset(),
) -> None:
    """Pull the outputs of tasks that ran, and note them in the job's progress.

    Args:
        job: The connected job.
        handle: The job.
        progress: What the job has come to; a task without its outputs becomes a failure.
        tasks: Tasks that ran.
        names: Outputs to pull; empty: all.
    """
    running = progress.phase is Phase.DETACHED
    pulled = _pull(job, handle, tasks, names, running=running)
    succeeded = {task.task for task in progress.tasks if task.status is Status.SUCCEEDED}
    progress.outputs += _mark_partial(pulled.outputs, handle, succeeded)
    progress.tasks = apply_missing(progress.tasks, pulled.missing)
    if pulled.error is not None:
        raise pulled.error
    if handle.job and not names and not running and _has_ended(handle, progress.tasks):
        # From now on the host may delete the job's own workspace with the job's directory.
        marker = f"{handle.job_dir}/pulled"
        job.connection.retrying(lambda at: at.call("mlcr_write_file", marker, "replace", ""))


def _pull(
    job: JobContext,
    handle: JobHandle,
    tasks: set[str],
    names: frozenset[str],
    *,
    running: bool,
) -> Downloads:
    """Pull the outputs of tasks; an error is part of the result."""
    outputs: list[PulledOutput] = []
    missing: list[DownloadRequest] = []
    details: list[str] = []
    errors: list[Exception] = []
    try:
        with job.events.stage(Stage.PULL) as notes:
            if handle.in_place:
                notes.skipped, notes.detail = True, "in place"
            outputs += _describe_in_place(handle, tasks)
            there = {(output.task, output.name) for output in outputs}
            missing += [
                item
                for item in handle.in_place
                if item.task in tasks
                and (item.task, item.name) not in there
                and (not names or item.name in names)
            ]
            for folder in select_outputs(handle.folders, tasks, names):
                result = job.connection.retrying(partial(_download, job, handle, folder, running))
                outputs += result.outputs
                _warn_of_omitted(job, result.omitted)
                missing += result.missing
                errors += [result.left] if result.left is not None else []
                details.append(str(result.moved))
            notes.detail = notes.detail or "; ".join(details) or "no outputs"
    except Exception as problem:  # noqa: BLE001 - raised again once the outputs are noted
        return Downloads(outputs=tuple(outputs), error=problem)
    return Downloads(
        outputs=tuple(outputs), missing=tuple(missing), error=errors[0] if errors else None
    )


def _download(
    job: JobContext,
    handle: JobHandle,
    folder: DownloadFolder,
    running: bool,
    connection: Connection,
) -> DownloadResult:
    names = ", ".join(item.path for item in folder.outputs)
    job.debug(f"pull: {names} from {folder.remote} to {folder.target}")
    return download(
        connection,
        folder,
        run=handle.run_id,
        running=running,
        waiting=lambda: job.info("waiting: another client is pulling these outputs"),
    )


def _warn_of_omitted(job: JobContext, omitted: Sequence[Omitted]) -> None:
    """Show the first few entries that were not pulled, and how many there are."""
    if omitted:
        shown = "; ".join(map(str, omitted[:_SHOWN_OMITTED]))
        more = len(omitted) - _SHOWN_OMITTED
        job.warn(f"not pulled: {shown}" + (f"; and {more} more" if more > 0 else ""))


def _describe_in_place(handle: JobHandle, tasks: set[str]) -> list[PulledOutput]:
    """Return the outputs of a run on this machine."""
    digests = Digests()
    outputs = [
        PulledOutput(
            task=item.task,
            name=item.name,
            path=Path(item.path),
            content=describe_output(Path(item.path), digests),
        )
        for item in handle.in_place
        if item.task in tasks and Path(item.path).exists()
    ]
    digests.save()
    return outputs


def select_outputs(
    folders: Iterable[DownloadFolder], tasks: Collection[str], names: Collection[str] = ()
) -> list[DownloadFolder]:
    """Return the folders with only these outputs of these tasks; no names: all outputs."""

    def is_selected(item: DownloadRequest) -> bool:
        return item.task in tasks and (not names or item.name in names)

    narrowed = [
        attrs.evolve(folder, outputs=tuple(filter(is_selected, folder.outputs)))
        for folder in folders
    ]
    return [folder for folder in narrowed if folder.outputs]


def _mark_partial(
    outputs: Iterable[PulledOutput], handle: JobHandle, succeeded: set[str]
) -> list[PulledOutput]:
    """Mark downloaded outputs of tasks that did not succeed."""
    return [
        output
        if handle.in_place
        else attrs.evolve(output, is_partial=output.is_partial or output.task not in succeeded)
        for output in outputs
    ]


def apply_missing(
    tasks: Iterable[TaskOutcome], missing: Sequence[DownloadRequest]
) -> list[TaskOutcome]:
    """Return the outcomes with successful tasks that lack an output turned into failures."""
    applied = []
    for task in tasks:
        lacking = [item.name for item in missing if item.task == task.task]
        if lacking and task.status is Status.SUCCEEDED:
            reason = f"exited 0 but did not produce its output {', '.join(lacking)}"
            applied.append(attrs.evolve(task, status=Status.FAILED, reason=reason))
        else:
            applied.append(task)
    return applied


def _has_ended(handle: JobHandle, tasks: Sequence[TaskOutcome]) -> bool:
    """Return whether the job makes no more outputs, as far as it was followed."""
    if any(task.status in {Status.RUNNING, Status.UNKNOWN} for task in tasks):
        return False
    return len(tasks) == len(handle.tasks) or tasks[-1].status is not Status.SUCCEEDED
