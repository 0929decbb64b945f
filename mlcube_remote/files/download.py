# SPDX-License-Identifier: Apache-2.0
"""Pull outputs into a staging directory, check them, and rename them into place."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from mlcube_remote.errors import AbortedTransferError, TransferError, UnsafeContentError
from mlcube_remote.events.outcome import PulledOutput
from mlcube_remote.events.output_content import OutputContent, describe_output
from mlcube_remote.events.output_state import OutputChange
from mlcube_remote.files import staging
from mlcube_remote.files.merge import merge
from mlcube_remote.files.receive import Received, declares, receive, use_sent
from mlcube_remote.files.received import Omitted, unsafe
from mlcube_remote.files.rsync import TransferStats
from mlcube_remote.files.sent_outputs import SentFolder
from mlcube_remote.files.transfer_progress import ProgressSink
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest
from mlcube_remote.runs.digests import Digests
from mlcube_remote.runs.ids import slug
from mlcube_remote.transport.base import Connection

Changes = Mapping[DownloadRequest, OutputChange]
"""Output → what the run did to it, if that is known."""


@attrs.frozen(kw_only=True)
class DownloadResult:
    """The outputs pulled from one directory."""

    moved: TransferStats
    outputs: tuple[PulledOutput, ...]
    missing: tuple[DownloadRequest, ...]
    """Declared outputs that the task did not make."""
    left: TransferError | None = None
    """The error for files that this user may not read on the host; all others were pulled."""
    omitted: tuple[Omitted, ...] = ()
    """Entries of the outputs that were not pulled, such as a link to a path of the container."""


def download(
    connection: Connection,
    folder: DownloadFolder,
    *,
    run: str,
    changes: Changes | None = None,
    running: bool = False,
    sent: SentFolder | None = None,
    waiting: Callable[[], None] = lambda: None,
    progress: ProgressSink | None = None,
) -> DownloadResult:
    """Pull the outputs of one directory and put them in place.

    Files stay in a staging directory beside their place until all have arrived, match the host's
    checksums, and are found harmless. A pull that was interrupted continues in that directory.

    Args:
        connection: The host.
        folder: What to pull.
        run: The run's id, part of the name of the staging directory.
        changes: What the run did to the outputs: of a directory that was updated, only the entries
            that its change names are pulled.
        running: Whether the task is still running, and may change the files.
        sent: What the host has already sent of this directory.
        waiting: Called if another client pulls the same outputs; this function waits for it.
        progress: Called during a long transfer.

    Raises:
        TransferError: The transfer is incomplete; existing files are unchanged.
        UnsafeContentError: The host sent files that were not requested or are not harmless.
    """
    name = _staging_name(connection.name, folder, run)
    try:
        with staging.staging_directory(
            connection.name, folder.target, name, waiting, folder.anchor
        ) as room:
            return _fetch(connection, folder, changes or {}, room, sent, progress, running=running)
    except OSError as problem:
        raise TransferError(
            connection.name,
            f"pull incomplete: {problem.filename or folder.target}: {problem.strerror}",
            hint="fix that and pull again; the outputs are still on the host",
        ) from problem


def received_bytes(host: str, folder: DownloadFolder, run: str) -> int:
    """Return how much of a directory has arrived so far, if its pull is incomplete."""
    return staging.received_bytes(folder.target, _staging_name(host, folder, run))


def _staging_name(host: str, folder: DownloadFolder, run: str) -> str:
    return f"{run}-{slug(host, of=folder.remote)}"


def _fetch(
    connection: Connection,
    folder: DownloadFolder,
    changes: Changes,
    room: Path,
    sent: SentFolder | None,
    progress: ProgressSink | None,
    *,
    running: bool,
) -> DownloadResult:
    host = connection.name
    digests = Digests()
    names = _wanted_names(host, folder, changes)
    try:
        received = None if sent is None else use_sent(connection, folder, sent, names, room)
        if received is None:
            received = receive(
                connection, folder, names, room, digests, running=running, progress=progress
            )
    except (UnsafeContentError, AbortedTransferError):
        # None of these files may be used by the next pull, or fill the disk until then.
        staging.empty(room)
        raise
    absent = tuple(item for item in folder.outputs if not os.path.lexists(room / item.path))
    # Of a directory in which something was deleted, nothing may be left to pull.
    missing = tuple(item for item in absent if not _is_partly_wanted(item, changes))
    # Describe the outputs before they are merged with files of earlier runs.
    contents = {
        item.path: describe_output(room / item.path, digests)
        for item in folder.outputs
        if item not in absent
    }
    merge(host, room, folder.target, folder.anchor)
    staging.empty(room)
    digests.save()
    arrived = (
        _describe(item, folder, changes, contents, received, running=running)
        for item in folder.outputs
        if item not in missing
    )
    # A file that could not be read may exist, so it is not called missing.
    return DownloadResult(
        moved=received.stats,
        outputs=tuple(arrived),
        missing=() if received.left is not None else missing,
        left=received.left,
        omitted=received.omitted,
    )


def _describe(
    item: DownloadRequest,
    folder: DownloadFolder,
    changes: Changes,
    contents: Mapping[str, OutputContent | None],
    received: Received,
    *,
    running: bool,
) -> PulledOutput:
    return PulledOutput(
        task=item.task,
        name=item.name,
        path=folder.target / item.path,
        is_partial=running or item in received.changing,
        state=changes[item].state if item in changes else None,
        content=contents.get(item.path),
        omitted=tuple(str(each) for each in received.omitted if declares(item, each.path)),
    )


def _wanted_names(host: str, folder: DownloadFolder, changes: Changes) -> tuple[str, ...]:
    """Return the paths to request, below the folder.

    Raises:
        UnsafeContentError: The host lists a path outside its output.
    """
    found: dict[str, None] = {}
    for item in folder.outputs:
        names = changes[item].names if item in changes else None
        for name in (".",) if names is None else names:
            if name.startswith("/") or ".." in name.split("/"):
                raise unsafe(host, f"{name!r} is listed as a part of {item.path!r}")
            found[posixpath.normpath(posixpath.join(item.path, name))] = None
    return tuple(found)


def _is_partly_wanted(item: DownloadRequest, changes: Changes) -> bool:
    return item in changes and changes[item].names is not None
