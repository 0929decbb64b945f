# SPDX-License-Identifier: Apache-2.0
"""Trusting nothing that a host sent: check a staging folder, then move it into place.

rsync writes into an empty folder of its own, because a host can add files of its choice to a
directory that it sends. Only what was declared leaves that folder, and only by rename.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs

from mlcube_remote.errors import TransferError, UnsafeContentError
from mlcube_remote.runs.locks import acquire

PARTIAL = ".mlcube-remote-partial"
"""Where rsync keeps what came of a file before the line broke, in the file's own folder."""

_PREFIX = ".mlcube-remote-pull-"

MAX_ENTRIES = 1_000_000
"""More files than this in one pull are refused: no task declares as many, a hostile host might."""


@attrs.frozen(kw_only=True)
class Declared:
    """One output as declared, relative to the folder that is pulled."""

    path: str
    """POSIX path below the folder; never absolute, never with ``..``."""
    directory: bool | None
    """``None``: not said, either will do."""


@contextlib.contextmanager
def room(host: str, target: Path, name: str, waiting: Callable[[], None]) -> Iterator[Path]:
    """Give the folder in which a pull arrives; what a pull of that name left is still there.

    One pull of a name at a time: another one waits. A room that is empty at the end goes.

    Args:
        host: Inventory name, for the message.
        target: The folder that the pull is for, made if need be; the room is in it, so that what
            arrives is moved by rename.
        name: Of the pull: always the same for what is to be continued.
        waiting: Called when another pull of that name is there.

    Raises:
        TransferError: There can be no room there.
    """
    folder = target / f"{_PREFIX}{name}"
    try:
        target.mkdir(parents=True, exist_ok=True)
        handle = _locked(folder, waiting)
    except OSError as problem:
        raise TransferError(
            host,
            f"pull incomplete: {problem.filename}: {problem.strerror}",
            hint="make the folder writable; the outputs are still on the host",
        ) from problem
    try:
        about = os.fstat(handle)
        if about.st_uid != os.getuid() or stat.S_IMODE(about.st_mode) & 0o077:
            raise TransferError(
                host,
                f"pull incomplete: {folder} is not a folder of yours alone",
                hint=f"rm -r {folder}",
            )
        try:
            yield folder
        finally:
            with contextlib.suppress(OSError):  # not empty: the next pull goes on with it
                folder.rmdir()
    finally:
        os.close(handle)


def _locked(folder: Path, waiting: Callable[[], None]) -> int:
    """Return a handle of the folder, made if need be, that nobody else has locked."""
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        acquire(handle, waiting)
        # Whoever held it before may have removed it, and another made one of the same name.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.lstat(folder)):
                return handle
        os.close(handle)


def empty(folder: Path) -> None:
    """Delete what is in a room."""
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def prune(folder: Path, declared: Iterable[Declared]) -> None:
    """Delete from a room what a pull of these outputs has no use for.

    An rsync that was killed leaves a file of a name of its own beside the one it was writing.
    """
    outputs = tuple(declared)
    useless = [
        relative
        for relative, _ in _walk(folder, "")
        if _owner(relative, outputs) is None and not _leads_to(relative, outputs)
    ]
    for relative in useless:
        path = folder / relative
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # it went with the folder that it was in


def discard(target: Path, name: str) -> None:
    """Delete the rooms below *target* of pulls whose names begin with *name*, which never ended."""
    for folder in target.glob(f"{_PREFIX}{glob.escape(name)}*"):
        with contextlib.suppress(OSError):  # still in use, or not the user's: it does no harm
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(handle)


def transferred(folder: Path) -> tuple[str, ...]:
    """Return the files below a checked room that came over the wire.

    The others have a second name: the file here that they equal.
    """
    found = []
    for relative, entry in _walk(folder, ""):
        about = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(about.st_mode) and about.st_nlink == 1:
            found.append(relative)
    return tuple(found)


def check(host: str, staging: Path, declared: Iterable[Declared]) -> None:
    """Refuse a staging folder that holds anything but declared, harmless files.

    Args:
        host: Inventory name, for the message.
        staging: The folder that rsync filled.
        declared: What was asked for.

    Raises:
        UnsafeContentError: Something undeclared, a device, socket or pipe, or a link that leaves
            its output; the message names it.
    """
    outputs = tuple(declared)
    for count, (relative, entry) in enumerate(_walk(staging, "")):
        if count >= MAX_ENTRIES:
            raise _unsafe(host, f"more than {MAX_ENTRIES:,} files")
        mode = entry.stat(follow_symlinks=False).st_mode
        owner = _owner(relative, outputs)
        if owner is None:
            if stat.S_ISDIR(mode) and _leads_to(relative, outputs):
                continue
            raise _unsafe(host, f"{relative!r} was not declared as an output")
        if stat.S_ISLNK(mode):
            _check_link(host, staging, relative, owner)
        elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise _unsafe(host, f"{relative!r} is neither a file nor a directory")
        elif relative == owner.path and owner.directory is not None:
            _check_kind(host, relative, mode, directory=owner.directory)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == PARTIAL:
                continue  # rsync's own; it is never put in place
            relative = prefix + entry.name
            yield relative, entry
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder / entry.name, relative + "/")


def _leads_to(relative: str, outputs: Iterable[Declared]) -> bool:
    return any(output.path.startswith(relative + "/") for output in outputs)


def _owner(relative: str, outputs: Iterable[Declared]) -> Declared | None:
    for output in outputs:
        if relative == output.path:
            return output
        if output.directory is not False and (
            output.path == "." or relative.startswith(output.path + "/")
        ):
            return output
    return None


def _check_link(host: str, staging: Path, relative: str, owner: Declared) -> None:
    target = os.readlink(staging / relative)
    inside = os.path.normpath(os.path.join(os.path.dirname(relative), target))
    leaves = os.path.isabs(target) or inside == ".." or inside.startswith("../")
    if leaves or not (inside + "/").startswith(owner.path + "/"):
        raise _unsafe(host, f"{relative!r} is a link that leaves its output (to {target!r})")


def _check_kind(host: str, relative: str, mode: int, *, directory: bool) -> None:
    if stat.S_ISDIR(mode) != directory:
        found, expected = ("directory", "file") if stat.S_ISDIR(mode) else ("file", "directory")
        raise _unsafe(host, f"{relative!r} is a {found}, declared was a {expected}")


def _unsafe(host: str, what: str) -> UnsafeContentError:
    return UnsafeContentError(
        host,
        f"refused what the host sent back: {what}",
        hint="nothing of it was put in place; look at the outputs on the host before trusting it",
    )


def merge(host: str, staging: Path, target: Path) -> None:
    """Move everything in a checked staging folder to its place below ``target``, file by file.

    A file appears under its final name whole or not at all; what else is in ``target`` stays.

    Args:
        host: Inventory name, for the message.
        staging: The checked folder.
        target: Where its contents belong; made if need be.

    Raises:
        TransferError: Something in ``target`` is in the way, or it cannot be written.
    """
    try:
        _merge(staging, target)
    except OSError as problem:
        where = problem.filename2 or problem.filename or target
        raise TransferError(
            host,
            f"pull incomplete: {where}: {problem.strerror}",
            hint="make room for it; the outputs are still on the host",
        ) from problem


def _merge(folder: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with os.scandir(folder) as entries:
        items = list(entries)
    for entry in items:
        if entry.name == PARTIAL:
            continue
        place = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            if place.is_symlink() and not place.is_dir():
                raise OSError(errno.ENOTDIR, "a dangling link is where a directory belongs", place)
            _merge(Path(entry.path), place)
        else:
            _drop_special_bits(entry)
            _rename(Path(entry.path), place)


def _drop_special_bits(entry: os.DirEntry[str]) -> None:
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX):
        os.chmod(entry.path, stat.S_IMODE(mode) & 0o777)


def _rename(source: Path, place: Path) -> None:
    try:
        os.replace(source, place)
    except OSError as problem:
        if problem.errno != errno.EXDEV:
            raise
        # The user's own link may lead an output directory to another file system.
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".mlcube-remote-") as near:
            copy = Path(near) / source.name
            shutil.copy2(source, copy, follow_symlinks=False)
            os.replace(copy, place)
