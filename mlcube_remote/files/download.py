# SPDX-License-Identifier: Apache-2.0
"""Bringing outputs home: into a staging folder, checked, then renamed into place."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs

from mlcube_remote.errors import TransferError, UnsafeContentError
from mlcube_remote.events.outcome import PulledOutput
from mlcube_remote.events.output_content import describe_output
from mlcube_remote.files import staging
from mlcube_remote.files.checksums import find_mismatches
from mlcube_remote.files.rsync import (
    IO_TIMEOUT,
    SOME_FILES,
    VANISHED,
    TransferStats,
    check,
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
    # What a task did not make is noticed below, by name.
    "--ignore-missing-args",
    # Not to be confused with a name: rsync tells what it left out on standard output.
    "--info=nonreg1,skip1",
    # What a pull that was killed left in the room, and the host has no more, must not stay there.
    "--delete",
    # A room whose folders cannot be written could not be emptied.
    "--chmod=Du+rwx,Fu+rw",
    # What came of a file before the line broke is kept, and the rest of it is added.
    f"--partial-dir={staging.PARTIAL}",
    f"--timeout={IO_TIMEOUT}",
    "--stats",
    "--no-human-readable",
)

_NONREGULAR = re.compile(rb'^skipping non-regular file "(.*)"$', re.MULTILINE)
_OVER_SIZE = re.compile(rb"^(.*) is over max-size$", re.MULTILINE)

_RESERVE = 64 * 1024 * 1024
"""Bytes of local disk that a pull leaves free."""


@attrs.frozen(kw_only=True)
class DownloadResult:
    """What came home."""

    moved: TransferStats
    outputs: tuple[PulledOutput, ...]
    missing: tuple[DownloadRequest, ...]
    """Declared, but not there: the task did not make it."""
    left: TransferError | None = None
    """What is to be said of files that the host may not read; all others are here."""


def download(
    connection: Connection,
    folder: DownloadFolder,
    *,
    run: str,
    running: bool = False,
    waiting: Callable[[], None] = lambda: None,
) -> DownloadResult:
    """Pull one folder's outputs and put them in place.

    What arrives stays in a room beside its place until all of it is here, is what the host has, and
    is harmless. A pull that was interrupted goes on there.

    Args:
        connection: The host.
        folder: What to pull.
        run: The run's id: the room is the run's and the host's.
        running: Whether the task may still be changing it.
        waiting: Called when another pull of the same is at work, which is waited for.

    Raises:
        TransferError: The transfer was not completed; what was here before is untouched.
        UnsafeContentError: The host sent something that was not asked for or is not harmless.
    """
    name = f"{run}-{slug(connection.name, of=folder.remote)}"
    try:
        with staging.staging_directory(connection.name, folder.target, name, waiting) as room:
            return _fetch(connection, folder, room, running=running)
    except OSError as problem:
        raise TransferError(
            connection.name,
            f"pull incomplete: {problem.filename or folder.target}: {problem.strerror}",
            hint="mend that and pull again; the outputs are still on the host",
        ) from problem


def _fetch(
    connection: Connection, folder: DownloadFolder, room: Path, *, running: bool
) -> DownloadResult:
    host = connection.name
    digests = Digests()
    try:
        # Another pull of this run may have been killed here, or have been for other outputs.
        staging.prune(room, _declared(folder))
        done, left = _transfer(connection, folder, room, running=running)
        staging.check(host, room, _declared(folder))
        changing = _verify(connection, folder, room, digests, running=running)
    except UnsafeContentError:
        # Nothing of it is worth going on with.
        staging.empty(room)
        raise
    absent = tuple(item for item in folder.outputs if not os.path.lexists(room / item.path))
    # Before they join what former runs left in the same directories.
    contents = {
        item.path: describe_output(room / item.path, digests)
        for item in folder.outputs
        if item not in absent
    }
    staging.merge(host, room, folder.target)
    staging.empty(room)
    digests.save()
    arrived = tuple(
        PulledOutput(
            task=item.task,
            name=item.name,
            path=folder.target / item.path,
            is_partial=running or item in changing,
            content=contents[item.path],
        )
        for item in folder.outputs
        if item not in absent
    )
    # Of what could not be read nobody can say that it was not made.
    missing = () if left is not None else absent
    return DownloadResult(moved=done, outputs=arrived, missing=missing, left=left)


def _verify(
    connection: Connection, folder: DownloadFolder, room: Path, digests: Digests, *, running: bool
) -> frozenset[DownloadRequest]:
    """Hold what was transferred against what the host says it has.

    Returns:
        Outputs that kept changing, while their task runs.

    Raises:
        TransferError: A file is not what the host has, and nobody should be changing it.
    """
    wrong = find_mismatches(connection, folder.remote, room, staging.transferred(room), digests)
    if wrong:
        # It changed between the two looks, most likely: a second look at the same names.
        _transfer(connection, folder, room, "--checksum", running=running)
        staging.check(connection.name, room, _declared(folder))
        wrong = find_mismatches(connection, folder.remote, room, wrong, digests)
    if wrong and not running:
        raise TransferError(
            connection.name,
            f"pull incomplete: {', '.join(map(repr, wrong[:3]))} here is not what the host has",
            hint="something there still changes it; pull again: mlcube-remote pull",
        )
    return frozenset(
        item
        for item in folder.outputs
        if any(name == item.path or name.startswith(item.path + "/") for name in wrong)
    )


def _declared(folder: DownloadFolder) -> tuple[staging.DeclaredOutput, ...]:
    return tuple(
        staging.DeclaredOutput(path=item.path, directory=item.directory) for item in folder.outputs
    )


def _transfer(
    connection: Connection, folder: DownloadFolder, room: Path, *more: str, running: bool
) -> tuple[TransferStats, TransferError | None]:
    """Let rsync fill the room.

    Returns:
        What was moved, and what is to be said of files that the host may not read: the others are
        here all the same.
    """
    basis = [f"--link-dest={folder.basis}"] if folder.basis and folder.basis.is_dir() else []
    free = shutil.disk_usage(room).free
    limit = max(free - _RESERVE, 0)
    names = b"".join(os.fsencode(item.path) + b"\0" for item in folder.outputs)
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
        stdin=names,
    )
    host = connection.name
    if special := _NONREGULAR.search(result.stdout):
        raise UnsafeContentError(
            host,
            f"refused what the host sent back: {_shown(special[1])} "
            "is neither a file nor a directory",
            hint="nothing of it was put in place",
        )
    if large := _OVER_SIZE.search(result.stdout):
        raise TransferError(
            host,
            f"pull incomplete: {_shown(large[1])} is larger than the free disk here ({free:,} B)",
            hint="free some space and pull again; the outputs are still on the host",
        )
    left = None
    if running and result.code == VANISHED:
        # The task goes on: what it takes away again is no part of what there is now.
        return parse_stats(result), None
    try:
        check(host, "pull", result)
    except TransferError as problem:
        if result.code != SOME_FILES or b"Permission denied" not in result.stderr:
            raise
        left = problem
    return parse_stats(result), left


def _shown(name: bytes) -> str:
    return repr(os.fsdecode(name))
