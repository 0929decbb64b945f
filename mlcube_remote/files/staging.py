# SPDX-License-Identifier: Apache-2.0
"""Staging directories: where a pull receives files before they are checked and put in place.

rsync writes into a directory of its own, because a host can add files of its choice to a directory
that it sends. Only declared outputs leave the staging directory, and only by rename.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs

from mlcube_remote.errors import TransferError
from mlcube_remote.runs.locks import acquire
from mlcube_remote.trust.confined_paths import LinkInPathError, open_below

PARTIAL = ".mlcube-remote-partial"
"""Directory for partial files beside each file, so that rsync can complete them later."""

_PREFIX = ".mlcube-remote-pull-"


@attrs.frozen(kw_only=True)
class DeclaredOutput:
    """One declared output, relative to the directory that is pulled."""

    path: str
    """POSIX path below the directory; never absolute, never with ``..``."""
    directory: bool | None
    """``None``: not declared, both kinds are allowed."""

    def contains(self, path: str) -> bool:
        """Return whether ``path`` is the output or below it."""
        if path == self.path:
            return True
        return self.directory is not False and (
            self.path == "." or path.startswith(self.path + "/")
        )

    def is_below(self, path: str) -> bool:
        """Return whether the output is below the directory ``path``."""
        return self.path.startswith(path + "/")


def owner_of(path: str, outputs: Iterable[DeclaredOutput]) -> DeclaredOutput | None:
    """Return the output that ``path`` belongs to."""
    return next((output for output in outputs if output.contains(path)), None)


def received_bytes(target: Path, name: str) -> int:
    """Return the size of what a pull has received into its staging directory."""
    size = 0
    for folder, _, files in os.walk(target / f"{_PREFIX}{name}"):
        for file in files:
            # rsync may rename a file at this moment.
            with contextlib.suppress(FileNotFoundError):
                size += os.lstat(os.path.join(folder, file)).st_size
    return size


@contextlib.contextmanager
def staging_directory(
    host: str,
    target: Path,
    name: str,
    waiting: Callable[[], None],
    anchor: Path | None = None,
) -> Iterator[Path]:
    """Yield the directory that a pull writes to, with the files of an interrupted pull.

    Pulls of the same name wait for each other. The directory is removed at the end if it is empty.

    Args:
        host: Inventory name, for the message.
        target: The directory that the outputs belong to, created if necessary. The staging
            directory is inside, so that files can be moved by rename.
        name: Name of the pull; a pull continues an interrupted one of the same name.
        waiting: Called if another pull of that name is running.
        anchor: The part of ``target`` that the user named; see :func:`open_below`.

    Raises:
        TransferError: The directory cannot be created, is behind a link, or belongs to another
            user.
    """
    folder = target / f"{_PREFIX}{name}"
    try:
        with open_below(anchor or target, target, create=True):
            handle = _locked(folder, waiting)
    except LinkInPathError as problem:
        raise link_error(host, problem) from problem
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


def link_error(host: str, problem: LinkInPathError) -> TransferError:
    """Return the error for a link in the way of outputs."""
    return TransferError(
        host,
        f"pull incomplete: {problem.filename} is a link; outputs are not written through links",
        hint=f"remove it, or name the directory that it leads to: "
        f"--workspace={os.path.realpath(problem.filename)}, or OUTPUT=local:PATH; "
        "the outputs are still on the host",
    )


def _locked(folder: Path, waiting: Callable[[], None]) -> int:
    """Create the directory if necessary, lock it, and return its file descriptor."""
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        acquire(handle, waiting)
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
                remove_tree(entry.path)
            else:
                os.unlink(entry.path)


def remove_tree(path: str | Path) -> None:
    """Delete a directory and everything in it, however deep."""
    try:
        shutil.rmtree(path)
    except RecursionError:
        # A hostile host may nest directories deeper than Python can recurse.
        subprocess.run(["rm", "-rf", "--", path], check=True)


def prune(folder: Path, names: Iterable[str]) -> None:
    """Delete everything from a staging directory that is not at, above or below these paths.

    A killed rsync leaves a temporary file beside the one that it was writing.
    """
    kept = set(names)
    if "." in kept:
        return
    above = {parent for name in kept for parent in _parents(name)}
    unwanted = [
        relative
        for relative, _ in walk(folder)
        if relative not in kept and relative not in above and kept.isdisjoint(_parents(relative))
    ]
    for relative in unwanted:
        path = folder / relative
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)  # it was deleted with its directory


def _parents(path: str) -> Iterator[str]:
    """Yield the directories above a path, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def remove_staging(target: Path, name: str) -> None:
    """Delete staging directories of interrupted pulls whose names start with ``name``."""
    for folder in target.glob(f"{_PREFIX}{glob.escape(name)}*"):
        with contextlib.suppress(OSError):  # still in use, or owned by another user: harmless
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(folder)
            finally:
                os.close(handle)


def transferred(folder: Path) -> tuple[str, ...]:
    """Return the files in a checked staging directory that were transferred.

    The others are hard links to equal files on this machine.
    """
    found = []
    for relative, entry in walk(folder):
        about = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(about.st_mode) and about.st_nlink == 1:
            found.append(relative)
    return tuple(found)


def walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield (path below ``folder``, entry), directories before their contents.

    A host chooses the depth of a tree, so this must not recurse.
    """
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                if entry.name == PARTIAL:
                    continue  # rsync's own directory, never put in place
                relative = prefix + entry.name
                yield relative, entry
                if entry.is_dir(follow_symlinks=False):
                    pending.append(relative + "/")
