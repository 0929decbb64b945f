# SPDX-License-Identifier: Apache-2.0
"""Check files received from a host in a staging directory, then move them into place.

rsync writes into a directory of its own, because a host can add files of its choice to a directory
that it sends. Only declared outputs leave the staging directory, and only by rename.
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
from mlcube_remote.runs.locks import take

PARTIAL = ".mlcube-remote-partial"
"""Directory for partial files beside each file, so that rsync can complete them later."""

_PREFIX = ".mlcube-remote-pull-"

MAX_ENTRIES = 1_000_000
"""Maximum number of files in one pull; a hostile host might send any number."""


@attrs.frozen(kw_only=True)
class DeclaredOutput:
    """One declared output, relative to the directory that is pulled."""

    path: str
    """POSIX path below the directory; never absolute, never with ``..``."""
    directory: bool | None
    """``None``: not declared, both kinds are allowed."""


@contextlib.contextmanager
def staging_directory(
    host: str, target: Path, name: str, waiting: Callable[[], None]
) -> Iterator[Path]:
    """Yield the directory that a pull writes to, with the files of an interrupted pull.

    Pulls of the same name wait for each other. The directory is removed at the end if it is empty.

    Args:
        host: Inventory name, for the message.
        target: The directory that the outputs belong to, created if necessary. The staging
            directory is inside, so that files can be moved by rename.
        name: Name of the pull; a pull continues an interrupted one of the same name.
        waiting: Called if another pull of that name is running.

    Raises:
        TransferError: The directory cannot be created, or belongs to another user.
    """
    folder = target / f"{_PREFIX}{name}"
    try:
        target.mkdir(parents=True, exist_ok=True)
        handle = _locked(folder, waiting)
    except OSError as problem:
        raise TransferError(
            host,
            f"pull incomplete: {problem.filename}: {problem.strerror}",
            hint="make the directory writable; the outputs are still on the host",
        ) from problem
    try:
        about = os.fstat(handle)
        if about.st_uid != os.getuid() or stat.S_IMODE(about.st_mode) & 0o077:
            raise TransferError(
                host,
                f"pull incomplete: {folder} can be read or written by other users",
                hint=f"rm -r {folder}",
            )
        try:
            yield folder
        finally:
            with contextlib.suppress(OSError):  # not empty: the next pull continues with it
                folder.rmdir()
    finally:
        os.close(handle)


def _locked(folder: Path, waiting: Callable[[], None]) -> int:
    """Create the directory if necessary, lock it, and return its file descriptor."""
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        take(handle, waiting)
        # The previous holder may have removed it, and another client may have created a new one.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.lstat(folder)):
                return handle
        os.close(handle)


def empty(folder: Path) -> None:
    """Delete everything in a staging directory."""
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def prune(folder: Path, declared: Iterable[DeclaredOutput]) -> None:
    """Delete files from a staging directory that do not belong to the declared outputs.

    A killed rsync leaves a temporary file beside the one that it was writing.
    """
    outputs = tuple(declared)
    undeclared = [
        relative
        for relative, _ in _walk(folder, "")
        if _owner(relative, outputs) is None and not _leads_to(relative, outputs)
    ]
    for relative in undeclared:
        path = folder / relative
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # it was deleted with its directory


def remove_staging(target: Path, name: str) -> None:
    """Delete staging directories of interrupted pulls whose names start with ``name``."""
    for folder in target.glob(f"{_PREFIX}{glob.escape(name)}*"):
        with contextlib.suppress(OSError):  # still in use, or owned by another user: harmless
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(handle)


def transferred(folder: Path) -> tuple[str, ...]:
    """Return the files in a checked staging directory that were transferred.

    The others are hard links to equal files on this machine.
    """
    found = []
    for relative, entry in _walk(folder, ""):
        about = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(about.st_mode) and about.st_nlink == 1:
            found.append(relative)
    return tuple(found)


def check(host: str, staging: Path, declared: Iterable[DeclaredOutput]) -> None:
    """Refuse a staging directory that contains anything but declared, harmless files.

    Args:
        host: Inventory name, for the message.
        staging: The directory that rsync filled.
        declared: The requested outputs.

    Raises:
        UnsafeContentError: It contains an undeclared file, a device, socket or pipe, or a link that
            leaves its output; the message names it.
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
                continue  # rsync's own directory, never put in place
            relative = prefix + entry.name
            yield relative, entry
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder / entry.name, relative + "/")


def _leads_to(relative: str, outputs: Iterable[DeclaredOutput]) -> bool:
    return any(output.path.startswith(relative + "/") for output in outputs)


def _owner(relative: str, outputs: Iterable[DeclaredOutput]) -> DeclaredOutput | None:
    for output in outputs:
        if relative == output.path:
            return output
        if output.directory is not False and (
            output.path == "." or relative.startswith(output.path + "/")
        ):
            return output
    return None


def _check_link(host: str, staging: Path, relative: str, owner: DeclaredOutput) -> None:
    target = os.readlink(staging / relative)
    inside = os.path.normpath(os.path.join(os.path.dirname(relative), target))
    leaves = os.path.isabs(target) or inside == ".." or inside.startswith("../")
    if leaves or not (inside + "/").startswith(owner.path + "/"):
        raise _unsafe(host, f"{relative!r} is a link that leaves its output (to {target!r})")


def _check_kind(host: str, relative: str, mode: int, *, directory: bool) -> None:
    if stat.S_ISDIR(mode) != directory:
        found, expected = ("directory", "file") if stat.S_ISDIR(mode) else ("file", "directory")
        raise _unsafe(host, f"{relative!r} is a {found}, but was declared as a {expected}")


def _unsafe(host: str, what: str) -> UnsafeContentError:
    return UnsafeContentError(
        host,
        f"refused what the host sent back: {what}",
        hint="none of these files was put in place; look at the outputs on the host first",
    )


def merge(host: str, staging: Path, target: Path) -> None:
    """Move everything in a checked staging directory to its place below ``target``, file by file.

    A file appears under its final name complete or not at all. Other files in ``target`` stay.

    Args:
        host: Inventory name, for the message.
        staging: The checked directory.
        target: The directory that its contents belong to, created if necessary.

    Raises:
        TransferError: ``target`` cannot be written, or contains something in the way.
    """
    try:
        _merge(staging, target)
    except OSError as problem:
        where = problem.filename2 or problem.filename or target
        raise TransferError(
            host,
            f"pull incomplete: {where}: {problem.strerror}",
            hint="move it away and pull again; the outputs are still on the host",
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
        # The user may have made an output directory a link to another file system.
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".mlcube-remote-") as near:
            copy = Path(near) / source.name
            shutil.copy2(source, copy, follow_symlinks=False)
            os.replace(copy, place)
