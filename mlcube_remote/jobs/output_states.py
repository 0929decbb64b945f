# SPDX-License-Identifier: Apache-2.0
"""Which outputs a host watches, and what it reports about them; see ``remote/outputs.sh``."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping

import attrs

from mlcube_remote.errors import StateUnknownError
from mlcube_remote.events.output_state import OutputChange, OutputChanges, OutputState
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.plan.outputs import DownloadRequest
from mlcube_remote.transport.base import Connection

_TIMEOUT_S = 300.0
"""Time in which a host lists large outputs."""

_MAX_LIST = 256 * 1024 * 1024
"""Maximum size in bytes of a list of names: 200,000 long paths. A hostile host might send any."""

_NUMBER = re.compile(r"-?[0-9]+")
_STATES = {state.value: state for state in OutputState}


@attrs.frozen(kw_only=True)
class WatchedOutput:
    """An output of one task, as the host knows it."""

    task: int
    """Number of the task, counted from 1."""
    path: str
    """Absolute path on the host."""
    request: DownloadRequest


def watched_outputs(handle: JobHandle) -> tuple[WatchedOutput, ...]:
    """Return the outputs of a job in the order in which its host numbers them from 1.

    Outputs in place come last: a handle that was read from a host has none, and a job has either
    these or outputs of the other kinds.
    """
    pulled = [
        (item, posixpath.normpath(posixpath.join(folder.remote, item.path)))
        for folder in handle.folders
        for item in folder.outputs
    ]
    return tuple(
        WatchedOutput(task=number, path=path, request=item)
        for item, path in (
            *pulled,
            *((item, item.path) for item in (*handle.on_host, *handle.in_place)),
        )
        for number, task in enumerate(handle.tasks, 1)
        if task.task == item.task
    )


def output_words(handle: JobHandle) -> tuple[str, ...]:
    """Return the words of the host's file ``outputs``; empty if the job has no outputs."""
    watched = watched_outputs(handle)
    if not watched:
        return ()
    words = (word for output in watched for word in (str(output.task), output.path))
    return ("fresh" if handle.fresh_outputs else "", *words)


def parse_changes(handle: JobHandle, number: int, facts: Mapping[str, str]) -> OutputChanges | None:
    """Return what a host reports about the outputs of the ``number``-th task.

    Of an output with an impossible list, all entries count.

    Returns:
        ``None`` if it reports nothing: the task has not ended, or an older version started it.

    Raises:
        ValueError: The report cannot be read.
    """
    if "outputs" not in facts:
        return None
    changes = {}
    for index, output in enumerate(watched_outputs(handle), 1):
        state = _STATES.get(facts.get(f"output.{index}", ""))
        if output.task != number or state is None:
            continue
        text, size = facts.get(f"changed.{index}"), _list_size(facts.get(f"listed.{index}", "0"))
        changes[output.request.name] = OutputChange(
            state=state,
            names=None if text is None else _names(text),
            list_size=size,
        )
    return changes


def _list_size(text: str) -> int:
    """Return the size of a list that the host has; 0 if it has none, or an impossible one.

    Raises:
        ValueError: The text is not a number.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"expected the size of a list, got {text[:20]!r}")
    size = int(text[:20])
    return size if 0 < size <= _MAX_LIST else 0


def _names(text: str) -> tuple[str, ...]:
    """Return the names of a list; a host prints them with ``./`` in front, one a line."""
    return tuple(line.removeprefix("./") for line in text.split("\n") if line)


def ask_for_changes(connection: Connection, handle: JobHandle, number: int) -> OutputChanges:
    """Ask a host what the ``number``-th task did to its outputs so far, even if it has not ended.

    An older version has started the task if the host knows nothing.

    Raises:
        StateUnknownError: The answer cannot be read, or there is none.
    """
    reply = connection.call("mlcr_report_outputs", handle.job_dir, str(number), timeout=_TIMEOUT_S)
    try:
        return parse_changes(handle, number, dict(reply.records())) or {}
    except ValueError as problem:
        raise StateUnknownError(
            connection.name,
            f"the state of the outputs in {handle.task_dir(number)} could not be read ({problem})",
        ) from problem


def fetch_names(
    connection: Connection, handle: JobHandle, request: DownloadRequest, change: OutputChange
) -> OutputChange:
    """Return the change of an output with the names that were too many for the report.

    Raises:
        StateUnknownError: There is no answer.
    """
    files = [
        f"{handle.task_dir(output.task)}/changed.{index}"
        for index, output in enumerate(watched_outputs(handle), 1)
        if output.request == request
    ]
    data = bytearray()
    while files and len(data) < change.list_size:
        more = connection.call("mlcr_print_bytes", files[-1], str(len(data))).stdout
        if not more or len(data) > _MAX_LIST:
            # The list is gone, or endless: without it, all of the output counts.
            return attrs.evolve(change, list_size=0)
        data += more
    return attrs.evolve(change, names=_names(os.fsdecode(bytes(data))), list_size=0)
