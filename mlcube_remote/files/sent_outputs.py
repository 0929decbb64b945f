# SPDX-License-Identifier: Apache-2.0
"""Small outputs that a host sends with the end of a task; see ``remote/end_answer.sh``.

They save the round trips of an rsync. What was sent is used only if it is complete, matches the
host's checksums and is what was wanted; otherwise rsync pulls the outputs as if nothing had come.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import attrs

from mlcube_remote.files.received import MAX_DEPTH, unsafe
from mlcube_remote.files.rsync import TransferStats

MAX_ENTRIES = 100
"""Number of entries of all folders together that a host sends."""

MAX_BYTES = 256 * 1024
"""Size of the contents of all folders together that a host sends."""

_ENTRY = re.compile(
    rb"entry=([fd]) (\d{1,9}) (-?\d{1,11})\.(\d{9})\d* ([0-7]{1,5}) (.+)", re.DOTALL
)
_FOLDER = re.compile(rb"folder=(\d{1,4})")
_SUM = re.compile(rb"\\?([0-9a-f]{64})\b")


@attrs.frozen(kw_only=True)
class SentEntry:
    """A file or a directory of an output."""

    path: str
    """As the host sent it, below its folder; not checked."""
    content: bytes | None
    """``None``: a directory."""
    modified_ns: int
    """Time of its last modification, in nanoseconds since the epoch."""
    mode: int


SentFolder = tuple[SentEntry, ...]
"""All entries of one folder that a job made or updated."""


class _DoesNotFitError(Exception):
    """What was sent cannot be used."""


def parse_sent(data: bytes) -> Mapping[int, SentFolder]:
    """Return what a host sent, by the number of the folder, counted from 1.

    Returns:
        Nothing if any of it is not as expected, or does not match its checksum.
    """
    folders: dict[int, SentFolder] = {}
    try:
        at = 0
        while at < len(data):
            number, at = _parse_number(data, at)
            folders[number], at = _parse_folder(data, at)
    except _DoesNotFitError:
        return {}
    total = sum(len(each.content or b"") for folder in folders.values() for each in folder)
    if sum(map(len, folders.values())) > MAX_ENTRIES or total > MAX_BYTES:
        return {}
    return folders


def _next_record(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.find(b"\0", at)
    if end < 0:
        raise _DoesNotFitError
    return data[at:end], end + 1


def _parse_number(data: bytes, at: int) -> tuple[int, int]:
    record, at = _next_record(data, at)
    number = _FOLDER.fullmatch(record)
    if number is None:
        raise _DoesNotFitError
    return int(number[1]), at


def _parse_folder(data: bytes, at: int) -> tuple[SentFolder, int]:
    """Return the entries of a folder, and where the next one begins."""
    described: list[re.Match[bytes]] = []
    while data.startswith(b"entry=", at):
        record, at = _next_record(data, at)
        entry = _ENTRY.fullmatch(record)
        if entry is None:
            raise _DoesNotFitError
        described.append(entry)
    if not described:
        return (), at
    sums, at = _next_record(data, at)
    contents, at = _next_record(data, at)
    files = [entry for entry in described if entry[1] == b"f"]
    size = sum(int(entry[2]) for entry in files)
    digests = [_SUM.match(line) for line in sums.removeprefix(b"sums=").splitlines()]
    if contents != b"contents=%d" % size or len(data) - at < size or len(digests) != len(files):
        raise _DoesNotFitError
    found: list[SentEntry] = []
    rest = iter(digests)
    for entry in described:
        content = None
        if entry[1] == b"f":
            content = data[at : at + int(entry[2])]
            at += len(content)
            digest = next(rest)
            if digest is None or hashlib.sha256(content).hexdigest() != digest[1].decode():
                raise _DoesNotFitError
        found.append(
            SentEntry(
                path=os.fsdecode(entry[6]),
                content=content,
                modified_ns=int(entry[3]) * 10**9 + int(entry[4]),
                mode=int(entry[5], 8),
            )
        )
    return tuple(found), at


def write_sent(
    host: str, entries: SentFolder, wanted: Collection[str], room: Path
) -> TransferStats | None:
    """Write what a host sent into an empty directory.

    Args:
        host: Inventory name, for the message.
        entries: What it sent of one folder.
        wanted: Normalized paths in the folder. A directory includes everything in it.
        room: The directory, which nothing else writes to.

    Returns:
        What was written; ``None`` if it was more than wanted, or two entries contradict each
        other: then the directory may contain some of it.

    Raises:
        UnsafeContentError: A path leads out of the folder.
        OSError: The directory could not be written.
    """
    size = files = 0
    for entry in entries:
        parts = _parts(host, entry.path)
        if not set(_with_parents(parts)) & {*wanted}:
            return None
        path = room.joinpath(*parts)
        try:
            if entry.content is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_file(path, entry, entry.content)
        except (FileExistsError, NotADirectoryError):
            # Names that differ on the host may be the same on this machine.
            return None
        files += 1
        size += len(entry.content)
    return TransferStats(files, size)


def _parts(host: str, path: str) -> list[str]:
    """Return the names in a path below a folder.

    Raises:
        UnsafeContentError: It leads out of the folder, or is too deep.
    """
    parts = [name for name in path.split("/") if name not in {"", "."}]
    if path.startswith("/") or ".." in parts:
        raise unsafe(host, f"{path!r} is outside the outputs")
    if len(parts) > MAX_DEPTH:
        raise unsafe(host, f"more than {MAX_DEPTH} nested directories")
    return parts


def _with_parents(parts: list[str]) -> Iterator[str]:
    yield "."
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])


def _write_file(path: Path, entry: SentEntry, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    # The umask of this process applies, as with rsync.
    mode = (entry.mode & 0o777) | 0o600
    with open(os.open(path, flags, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.utime(file.fileno(), ns=(entry.modified_ns, entry.modified_ns))
