# SPDX-License-Identifier: Apache-2.0
"""Move the files of a checked staging directory into place, without following any link."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from pathlib import Path

from mlcube_remote.errors import TransferError
from mlcube_remote.files.staging import PARTIAL, link_error
from mlcube_remote.trust.confined_paths import LinkInPathError, open_below, open_directory

_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


def merge(host: str, staging: Path, target: Path, anchor: Path | None = None) -> None:
    """Move everything in a checked staging directory to its place below ``target``, file by file.

    A file appears under its final name complete or not at all. Other files in ``target`` stay. A
    link in the way is never followed: the cube may have planted it, or a host with an earlier pull.

    Args:
        host: Inventory name, for the message.
        staging: The checked directory.
        target: The directory that its contents belong to, created if necessary.
        anchor: The part of ``target`` that the user named; links below it are not followed.
            ``None``: all of ``target``.

    Raises:
        TransferError: ``target`` cannot be written, or contains something in the way.
    """
    try:
        with (
            open_below(staging, staging) as source,
            open_below(anchor or target, target, create=True) as place,
        ):
            _merge(source, place, target)
    except LinkInPathError as problem:
        raise link_error(host, problem) from problem
    except OSError as problem:
        where = problem.filename2 or problem.filename or target
        raise TransferError(
            host,
            f"pull incomplete: {where}: {problem.strerror}",
            hint="move it away and pull again; the outputs are still on the host",
        ) from problem


def _merge(source: int, place: int, path: Path) -> None:
    """Move all entries of the directory ``source`` into the directory ``place``, which is ``path``.

    Both are descriptors: what a name means cannot change between the check and the use.
    """
    with os.scandir(source) as entries:
        items = [(entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in entries]
    for name, mode in items:
        if name == PARTIAL:
            continue
        if stat.S_ISDIR(mode):
            _merge_directory(name, source, place, path / name)
        else:
            if stat.S_ISREG(mode) and mode & _SPECIAL_BITS:
                _drop_special_bits(name, source, mode)
            _move(name, source, place, path / name)


def _merge_directory(name: str, source: int, place: int, path: Path) -> None:
    inner_source = open_directory(name, source, path)
    try:
        inner_place = open_directory(name, place, path, create=True)
        try:
            _merge(inner_source, inner_place, path)
        finally:
            os.close(inner_place)
    finally:
        os.close(inner_source)


def _drop_special_bits(name: str, directory: int, mode: int) -> None:
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fchmod(opened, stat.S_IMODE(mode) & 0o777)
    finally:
        os.close(opened)


def _move(name: str, source: int, place: int, path: Path) -> None:
    try:
        os.replace(name, name, src_dir_fd=source, dst_dir_fd=place)
    except OSError as problem:
        if problem.errno != errno.EXDEV:
            raise OSError(problem.errno, problem.strerror, os.fspath(path)) from problem
        # A directory of outputs may be a mount point of another file system.
        _copy(name, source, place)


def _copy(name: str, source: int, place: int) -> None:
    """Copy a file or link to another file system, so that it appears complete or not at all."""
    temporary = f".mlcube-remote-{secrets.token_hex(8)}"
    about = os.stat(name, dir_fd=source, follow_symlinks=False)
    try:
        if stat.S_ISLNK(about.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), temporary, dir_fd=place)
        else:
            _copy_file(name, source, temporary, place, about)
        os.replace(temporary, name, src_dir_fd=place, dst_dir_fd=place)
    except OSError:
        if _exists(temporary, place):
            os.unlink(temporary, dir_fd=place)
        raise


def _copy_file(name: str, source: int, copy: str, place: int, about: os.stat_result) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    read = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    with (
        open(read, "rb") as original,
        open(os.open(copy, flags, 0o600, dir_fd=place), "wb") as made,
    ):
        shutil.copyfileobj(original, made)
        made.flush()
        os.fchmod(made.fileno(), stat.S_IMODE(about.st_mode) & 0o777)
        os.utime(made.fileno(), ns=(about.st_atime_ns, about.st_mtime_ns))


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
