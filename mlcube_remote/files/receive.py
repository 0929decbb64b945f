# SPDX-License-Identifier: Apache-2.0
"""Fill a staging directory with outputs, and check them: with rsync, or as a host sent them."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Iterable
from pathlib import Path

import attrs

from mlcube_remote.errors import TransferError
from mlcube_remote.files import staging
from mlcube_remote.files.checksums import find_mismatches
from mlcube_remote.files.free_space import RESERVE, FreeSpace, full
from mlcube_remote.files.received import ContainerMount, Omitted, check_received
from mlcube_remote.files.rsync import (
    IO_TIMEOUT,
    SOME_FILES,
    VANISHED,
    TransferStats,
    check,
    is_full,
    parse_stats,
)
from mlcube_remote.files.sent_outputs import SentFolder, write_sent
from mlcube_remote.files.transfer_progress import ProgressSink, TransferProgress
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest
from mlcube_remote.runs.digests import Digests
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
    "--info=progress2",
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

_MAX_MESSAGES = 1024 * 1024
"""Bytes of rsync's messages that are kept: a host must not fill memory."""

_NONREGULAR = re.compile(rb'^skipping non-regular file "(.*)"$', re.MULTILINE)
_OVER_SIZE = re.compile(rb"^(.*) is over max-size$", re.MULTILINE)


@attrs.frozen(kw_only=True)
class Received:
    """The result of one transfer into the staging directory."""

    stats: TransferStats
    left: TransferError | None = None
    """The error for files that this user may not read on the host; others were transferred."""
    omitted: tuple[Omitted, ...] = ()
    """Entries that were not pulled."""
    changing: frozenset[DownloadRequest] = frozenset()
    """Outputs that changed meanwhile, if their task is still running."""


def use_sent(
    connection: Connection,
    folder: DownloadFolder,
    sent: SentFolder,
    names: Collection[str],
    room: Path,
) -> Received | None:
    """Fill the staging directory with what the host has sent, and check it.

    Returns:
        ``None`` if it cannot be used.

    Raises:
        UnsafeContentError: The host sent what was not requested, or is not harmless.
    """
    staging.empty(room)
    stats = write_sent(connection.name, sent, names, room)
    if stats is None:
        staging.empty(room)
        return None
    return Received(stats=stats, omitted=_check(connection, folder, room))


def receive(
    connection: Connection,
    folder: DownloadFolder,
    names: Collection[str],
    room: Path,
    digests: Digests,
    *,
    running: bool,
    progress: ProgressSink | None = None,
) -> Received:
    """Fill the staging directory with rsync, check it, and compare it with the host.

    Args:
        connection: The host.
        folder: What to pull.
        names: Paths below the folder.
        room: The staging directory.
        digests: Cache of digests of files on this machine.
        running: Whether the task is still running, and may change the files.
        progress: Called during a long transfer.

    Raises:
        TransferError: The transfer is incomplete.
        UnsafeContentError: The host sent what was not requested, or is not harmless.
    """
    # An earlier pull of this run may have been killed, or may have pulled other outputs.
    staging.prune(room, names)
    received = _transfer(connection, folder, names, room, running=running, progress=progress)
    omitted = (*received.omitted, *_check(connection, folder, room))
    changing = _verify(connection, folder, names, room, digests, running=running)
    return attrs.evolve(received, omitted=omitted, changing=changing)


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
    return frozenset(item for item in folder.outputs if any(declares(item, name) for name in wrong))


def _check(connection: Connection, folder: DownloadFolder, room: Path) -> tuple[Omitted, ...]:
    mounts = [
        ContainerMount(posixpath.relpath(source, folder.remote), target)
        for source, target in folder.mounts
    ]
    return check_received(connection.name, room, _declared(folder), mounts)


def declares(item: DownloadRequest, path: str) -> bool:
    """Return whether a path is the output or below it."""
    return staging.DeclaredOutput(path=item.path, directory=None).contains(path)


def _declared(folder: DownloadFolder) -> tuple[staging.DeclaredOutput, ...]:
    return tuple(
        staging.DeclaredOutput(path=item.path, directory=item.directory) for item in folder.outputs
    )


def _transfer(
    connection: Connection,
    folder: DownloadFolder,
    names: Iterable[str],
    room: Path,
    *more: str,
    running: bool,
    progress: ProgressSink | None = None,
) -> Received:
    """Let rsync fill the staging directory."""
    basis = [f"--link-dest={folder.basis}"] if folder.basis and folder.basis.is_dir() else []
    space = FreeSpace(connection.name, room)
    limit = max(space.at_start - RESERVE, 0)
    reader = TransferProgress(progress, limit=_MAX_MESSAGES)
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
        on_stdout=reader.read,
        watch=space.check,
    )
    result = attrs.evolve(result, stdout=reader.others())
    if is_full(result):
        raise full(connection.name, "this machine's disk is full")
    if large := _OVER_SIZE.search(result.stdout):
        raise TransferError(
            connection.name,
            f"pull incomplete: {os.fsdecode(large[1])!r} is larger than this machine's free disk "
            f"space ({space.at_start:,} B)",
            hint="free some space and pull again; the outputs are still on the host",
        )
    omitted = _find_omitted(result.stdout)
    stats = parse_stats(result)
    if running and result.code == VANISHED:
        # The task is running, and may delete its files at any time.
        return Received(stats=stats, omitted=omitted)
    try:
        check(connection.name, "pull", result)
    except TransferError as problem:
        if result.code != SOME_FILES or b"Permission denied" not in result.stderr:
            raise
        return Received(stats=stats, omitted=omitted, left=problem)
    return Received(stats=stats, omitted=omitted)


def _find_omitted(stdout: bytes) -> tuple[Omitted, ...]:
    return tuple(
        Omitted(os.fsdecode(name), "is neither a file nor a directory")
        for name in _NONREGULAR.findall(stdout)
    )
