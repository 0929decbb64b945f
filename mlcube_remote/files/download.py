# SPDX-License-Identifier: Apache-2.0
"""Pull outputs into a staging directory, check them, and rename them into place."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import attrs

from mlcube_remote.errors import AbortedTransferError, TransferError, UnsafeContentError
from mlcube_remote.events.outcome import PulledOutput
from mlcube_remote.events.output_content import OutputContent, describe_output
from mlcube_remote.events.output_state import OutputChange
from mlcube_remote.files import staging
from mlcube_remote.files.checksums import find_mismatches
from mlcube_remote.files.free_space import RESERVE, FreeSpace, full
from mlcube_remote.files.merge import merge
from mlcube_remote.files.received import ContainerMount, Omitted, check_received, unsafe
from mlcube_remote.files.rsync import (
    IO_TIMEOUT,
    SOME_FILES,
    VANISHED,
    TransferStats,
    check,
    is_full,
    parse_stats,
)
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest
from mlcube_remote.runs.digests import Digests
from mlcube_remote.runs.ids import slug
from mlcube_remote.transport.base import Connection

_OPTIONS = (
    "-rlt",
    "--no-devices",
    "--no-specials",
    "--from0",
    "--files-from=-",
    # Missing outputs are found below, by name.
    "--ignore-missing-args",
    # Two runs may write files of the same size in the same second: compare nanoseconds too.
    "--modify-window=-1",
    # rsync reports omitted files on standard output, in a form that no file name can imitate.
    "--info=nonreg1,skip1",
    # Files of a killed pull that the host no longer has must not stay in the staging directory.
    "--delete",
    # A directory that is not writable could not be emptied later.
    "--chmod=Du+rwx,Fu+rw",
    # A partial file is kept if the connection breaks, and completed by the next transfer.
    f"--partial-dir={staging.PARTIAL}",
    f"--timeout={IO_TIMEOUT}",
    "--stats",
    "--no-human-readable",
)

_NONREGULAR = re.compile(rb'^skipping non-regular file "(.*)"$', re.MULTILINE)
_OVER_SIZE = re.compile(rb"^(.*) is over max-size$", re.MULTILINE)


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
    waiting: Callable[[], None] = lambda: None,
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
        waiting: Called if another client pulls the same outputs; this function waits for it.

    Raises:
        TransferError: The transfer is incomplete; existing files are unchanged.
        UnsafeContentError: The host sent files that were not requested or are not harmless.
    """
    name = _staging_name(connection.name, folder, run)
    try:
        with staging.staging_directory(
            connection.name, folder.target, name, waiting, folder.anchor
        ) as room:
            return _fetch(connection, folder, changes or {}, room, running=running)
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
    *,
    running: bool,
) -> DownloadResult:
    host = connection.name
    digests = Digests()
    names = _wanted_names(host, folder, changes)
    try:
        # An earlier pull of this run may have been killed, or may have pulled other outputs.
        staging.prune(room, names)
        received = _transfer(connection, folder, names, room, running=running)
        omitted = (*received.omitted, *_check(connection, folder, room))
        changing = _verify(connection, folder, names, room, digests, running=running)
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
        _describe(item, folder, changes, contents, omitted, is_partial=running or item in changing)
        for item in folder.outputs
        if item not in missing
    )
    # A file that could not be read may exist, so it is not called missing.
    return DownloadResult(
        moved=received.stats,
        outputs=tuple(arrived),
        missing=() if received.left is not None else missing,
        left=received.left,
        omitted=omitted,
    )


def _describe(
    item: DownloadRequest,
    folder: DownloadFolder,
    changes: Changes,
    contents: Mapping[str, OutputContent | None],
    omitted: Iterable[Omitted],
    *,
    is_partial: bool,
) -> PulledOutput:
    return PulledOutput(
        task=item.task,
        name=item.name,
        path=folder.target / item.path,
        is_partial=is_partial,
        state=changes[item].state if item in changes else None,
        content=contents.get(item.path),
        omitted=tuple(str(each) for each in omitted if _declares(item, each.path)),
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


def _verify(
    connection: Connection,
    folder: DownloadFolder,
    names: Iterable[str],
    room: Path,
    digests: Digests,
    *,
    running: bool,
) -> frozenset[DownloadRequest]:
    """Compare the transferred files with the host's checksums.

    Returns:
        Outputs that changed during the pull, if their task is still running.

    Raises:
        TransferError: A file differs from the host's, although its task has ended.
    """
    wrong = find_mismatches(connection, folder.remote, room, staging.transferred(room), digests)
    if wrong:
        # Most likely a file changed between transfer and checksum: transfer it again.
        _transfer(connection, folder, names, room, "--checksum", running=running)
        _check(connection, folder, room)
        wrong = find_mismatches(connection, folder.remote, room, wrong, digests)
    if wrong and not running:
        raise TransferError(
            connection.name,
            f"pull incomplete: {', '.join(map(repr, wrong[:3]))} differs from the host's",
            hint="a process on the host still changes it; pull again: mlcube-remote pull",
        )
    return frozenset(
        item for item in folder.outputs if any(_declares(item, name) for name in wrong)
    )


def _check(connection: Connection, folder: DownloadFolder, room: Path) -> tuple[Omitted, ...]:
    mounts = [
        ContainerMount(posixpath.relpath(source, folder.remote), target)
        for source, target in folder.mounts
    ]
    return check_received(connection.name, room, _declared(folder), mounts)


def _declares(item: DownloadRequest, path: str) -> bool:
    return staging.DeclaredOutput(path=item.path, directory=None).contains(path)


def _declared(folder: DownloadFolder) -> tuple[staging.DeclaredOutput, ...]:
    return tuple(
        staging.DeclaredOutput(path=item.path, directory=item.directory) for item in folder.outputs
    )


@attrs.frozen(kw_only=True)
class _Received:
    """The result of one transfer into the staging directory."""

    stats: TransferStats
    left: TransferError | None = None
    """The error for files that this user may not read on the host; others were transferred."""
    omitted: tuple[Omitted, ...] = ()
    """Pipes, sockets and devices."""


def _transfer(
    connection: Connection,
    folder: DownloadFolder,
    names: Iterable[str],
    room: Path,
    *more: str,
    running: bool,
) -> _Received:
    """Let rsync fill the staging directory."""
    basis = [f"--link-dest={folder.basis}"] if folder.basis and folder.basis.is_dir() else []
    space = FreeSpace(connection.name, room)
    limit = max(space.at_start - RESERVE, 0)
    result = connection.rsync(
        [
            *_OPTIONS,
            *more,
            f"--max-size={limit}",
            *basis,
            "--",
            f"host:{folder.remote}/",
            f"{room}/",
        ],
        stdin=b"".join(os.fsencode(name) + b"\0" for name in names),
        watch=space.check,
    )
    if is_full(result):
        raise full(connection.name, "this machine's disk is full")
    if large := _OVER_SIZE.search(result.stdout):
        raise TransferError(
            connection.name,
            f"pull incomplete: {os.fsdecode(large[1])!r} is larger than this machine's free disk "
            f"space ({space.at_start:,} B)",
            hint="free some space and pull again; the outputs are still on the host",
        )
    omitted = tuple(
        Omitted(os.fsdecode(name), "is neither a file nor a directory")
        for name in _NONREGULAR.findall(result.stdout)
    )
    stats = parse_stats(result)
    if running and result.code == VANISHED:
        # The task is running, and may delete its files at any time.
        return _Received(stats=stats, omitted=omitted)
    try:
        check(connection.name, "pull", result)
    except TransferError as problem:
        if result.code != SOME_FILES or b"Permission denied" not in result.stderr:
            raise
        return _Received(stats=stats, omitted=omitted, left=problem)
    return _Received(stats=stats, omitted=omitted)
