# SPDX-License-Identifier: Apache-2.0
"""Pull the outputs of a job, and check that its tasks have made all that they declare."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import attrs

from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.dispatch.finish import JobProgress, Phase
from mlcube_remote.errors import StalledError, TransferError
from mlcube_remote.events.model import Stage
from mlcube_remote.events.outcome import PulledOutput, Status, TaskOutcome
from mlcube_remote.events.output_content import describe_output
from mlcube_remote.events.output_state import OutputChange, OutputChanges, OutputState
from mlcube_remote.files.download import DownloadResult, download, received_bytes
from mlcube_remote.files.received import Omitted
from mlcube_remote.files.sent_outputs import SentFolder
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.output_states import ask_for_changes, fetch_names, watched_outputs
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
    """Pull what the tasks that ran have made or updated, and note it in the job's progress.

    Args:
        job: The connected job.
        handle: The job.
        progress: What the job has come to; a task without its outputs becomes a failure.
        tasks: Tasks that ran.
        names: Outputs to pull with all their entries, also those that are unchanged; empty: of all
            outputs what was made or updated.
    """
    running = progress.phase is Phase.DETACHED
    wanted = [
        item
        for item in (*(o for folder in handle.folders for o in folder.outputs), *handle.in_place)
        if item.task in tasks and (not names or item.name in names)
    ]
    pulled = _pull(job, handle, wanted, progress, is_whole=bool(names))
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
    wanted: Sequence[DownloadRequest],
    progress: JobProgress,
    *,
    is_whole: bool,
) -> Downloads:
    """Pull outputs; an error is part of the result."""
    outputs: list[PulledOutput] = []
    missing: list[DownloadRequest] = []
    details: list[str] = []
    errors: list[Exception] = []
    running = progress.phase is Phase.DETACHED
    try:
        with job.events.stage(Stage.PULL) as notes:
            changes = _read_changes(job, handle, progress.tasks, wanted)
            if handle.in_place:
                notes.skipped, notes.detail = True, "in place"
            there = [item for item in handle.in_place if item in wanted]
            outputs += _describe_in_place(there, changes)
            missing += [item for item in there if not Path(item.path).exists()]
            if is_whole:
                changes = {item: attrs.evolve(each, names=None) for item, each in changes.items()}
            for number, folder in enumerate(handle.folders, 1):
                chosen, left_out = _split(folder, wanted, changes, is_whole=is_whole)
                outputs += left_out
                if not chosen.outputs:
                    continue
                sent = progress.sent.get(number)
                download_folder = partial(_download, job, handle, chosen, changes, sent, running)
                result = _repeat(job, handle, chosen, download_folder)
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


def _repeat(
    job: JobContext,
    handle: JobHandle,
    folder: DownloadFolder,
    work: Callable[[Connection], DownloadResult],
) -> DownloadResult:
    """Pull one directory, also if the connection breaks, as long as more of it arrives.

    Raises:
        TransferError: It is incomplete.
    """
    host = job.connection.name
    received = partial(received_bytes, host, folder, handle.run_id)
    try:
        return job.connection.retrying(work, transferred=received)
    except StalledError as problem:
        raise TransferError(
            host,
            f"pull incomplete: {problem.reason}",
            hint=f"the outputs are still on the host; later: mlcube-remote pull {handle.run_id}",
        ) from problem


def _read_changes(
    job: JobContext,
    handle: JobHandle,
    tasks: Iterable[TaskOutcome],
    wanted: Collection[DownloadRequest],
) -> dict[DownloadRequest, OutputChange]:
    """Return what the run did to each output, as far as the host knows."""
    known: dict[str, OutputChanges] = {
        task.task: task.outputs for task in tasks if task.outputs is not None
    }
    for output in watched_outputs(handle):
        name = output.request.task
        if output.request in wanted and name not in known:
            # The task has not ended, or its host rebooted: the host has not compared it yet.
            ask = partial(ask_for_changes, handle=handle, number=output.task)
            known[name] = job.connection.retrying(ask)
    changes = {
        item: known[item.task][item.name]
        for item in wanted
        if item.name in known.get(item.task, {})
    }
    for item, change in changes.items():
        if change.list_size:
            fetch = partial(fetch_names, handle=handle, request=item, change=change)
            changes[item] = job.connection.retrying(fetch)
    return changes


def _split(
    folder: DownloadFolder,
    wanted: Collection[DownloadRequest],
    changes: Mapping[DownloadRequest, OutputChange],
    *,
    is_whole: bool,
) -> tuple[DownloadFolder, tuple[PulledOutput, ...]]:
    """Return the folder with the outputs to pull, and the unchanged outputs, which stay."""
    unchanged = {
        item: change.state
        for item, change in changes.items()
        if change.state is OutputState.UNCHANGED and not is_whole
    }
    mine = [item for item in folder.outputs if item in wanted]
    left_out = (
        PulledOutput(
            task=item.task,
            name=item.name,
            path=folder.target / item.path,
            state=unchanged[item],
        )
        for item in mine
        if item in unchanged
    )
    chosen = tuple(item for item in mine if item not in unchanged)
    return attrs.evolve(folder, outputs=chosen), tuple(left_out)


def _download(
    job: JobContext,
    handle: JobHandle,
    folder: DownloadFolder,
    changes: Mapping[DownloadRequest, OutputChange],
    sent: SentFolder | None,
    running: bool,
    connection: Connection,
) -> DownloadResult:
    names = ", ".join(item.path for item in folder.outputs)
    job.debug(f"pull: {names} from {folder.remote} to {folder.target}")
    return download(
        connection,
        folder,
        run=handle.run_id,
        changes=changes,
        running=running,
        sent=sent,
        waiting=lambda: job.info("waiting: another client is pulling these outputs"),
        progress=partial(job.events.progress, Stage.PULL),
    )


def _warn_of_omitted(job: JobContext, omitted: Sequence[Omitted]) -> None:
    """Show the first few entries that were not pulled, and how many there are."""
    if omitted:
        shown = "; ".join(map(str, omitted[:_SHOWN_OMITTED]))
        more = len(omitted) - _SHOWN_OMITTED
        job.warn(f"not pulled: {shown}" + (f"; and {more} more" if more > 0 else ""))


def _describe_in_place(
    wanted: Iterable[DownloadRequest], changes: Mapping[DownloadRequest, OutputChange]
) -> list[PulledOutput]:
    """Return those outputs of a run on this machine that exist."""
    digests = Digests()
    outputs = [
        PulledOutput(
            task=item.task,
            name=item.name,
            path=Path(item.path),
            state=changes[item].state if item in changes else None,
            content=describe_output(Path(item.path), digests),
        )
        for item in wanted
        if Path(item.path).exists()
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
        if handle.in_place or output.state is OutputState.UNCHANGED
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
