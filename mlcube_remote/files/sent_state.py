# SPDX-License-Identifier: Apache-2.0
"""The state of what is sent for a job, here and in its mirror, to see later that nothing changed.

A file counts as unchanged if its type, mode, size, inode, time of modification and time of change
are the same. No program can set the time of change, so a file that was edited, restored or replaced
differs, even if its size and its time of modification do not.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from mlcube_remote.cube.host_paths import contains
from mlcube_remote.files.sent_names import SentNames, SentPath, is_settled
from mlcube_remote.files.upload import UploadTree

MAX_ENTRIES = 500
"""Maximum number of files and directories: their names are sent in one call."""

_MAX_NAMES = 48 * 1024
"""Maximum size of the names, in characters."""

_SECOND_NS = 1_000_000_000


@attrs.frozen(kw_only=True)
class SentEntry:
    """A file or directory of this machine that is sent."""

    local: Path
    remote: str
    status: os.stat_result
    deletes: bool
    """Whether an upload deletes what is in the directory only on the host."""
    is_writable: bool
    """Whether tasks can write there."""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def rank(self) -> int:
        """How much of it is compared on the host.

        0: everything. 1: not the time of change: if a task has run as another user, all that it
        could write to may get this user as its owner again. 2: not the content.
        """
        if self.is_directory:
            return 0 if self.deletes else 2
        return 1 if self.is_writable else 0

    @property
    def here(self) -> list[object]:
        """What must not change on this machine."""
        at = self.status
        if self.is_directory:
            return [self.remote, at.st_mode]
        times = [at.st_mtime_ns, at.st_ctime_ns]
        return [self.remote, at.st_mode, at.st_dev, at.st_ino, at.st_size, *times]


@attrs.frozen(kw_only=True)
class SentState:
    """What is sent for a job, as this machine has it."""

    digest: str
    """Changes with anything that an upload depends on."""
    is_settled: bool
    """Whether no file has changed so recently that another change could leave its times as they
    are."""
    entries: tuple[SentEntry, ...]
    """In the order of their ranks."""

    @property
    def words(self) -> tuple[str, ...]:
        """Arguments of ``mlcr_describe_mirror``."""
        ranks = [entry.rank for entry in self.entries]
        names = (entry.remote for entry in self.entries)
        return (str(ranks.count(0)), str(ranks.count(1)), *names)


def read_sent_state(
    trees: Sequence[UploadTree],
    writable: str,
    outputs: Collection[str] = (),
    *,
    names: SentNames | None = None,
) -> SentState | None:
    """Return the state of what an upload of the trees would send.

    Args:
        trees: The trees.
        writable: The workspace on the host: an upload deletes nothing in it.
        outputs: Paths of the job's outputs on the host. Each launch creates the directories above
            them, so it does not matter whether this machine has them.
        names: The trees that this run has listed for other hosts.

    Returns:
        ``None`` if that is too much to compare, or contains anything but files and directories.
    """
    began = time.time_ns()
    if any(tree.copies for tree in trees):
        return None
    try:
        found = _entries(trees, writable, names or SentNames())
    except OSError:
        return None  # the upload reports it
    if found is None:
        return None
    made = {path for output in outputs for path in _above(output)}
    entries = [entry for entry in found if entry.rank < 2 or entry.remote not in made]
    remote = [entry.remote for entry in entries]
    if (
        not all(stat.S_ISREG(at.status.st_mode) or at.is_directory for at in entries)
        or len(remote) > MAX_ENTRIES
        or sum(map(len, remote)) > _MAX_NAMES
        or not all(name.isprintable() for name in remote)
    ):
        return None
    entries.sort(key=lambda entry: (entry.rank, entry.remote))
    rules = [[str(tree.local), tree.remote, *tree.arguments()] for tree in trees]
    text = json.dumps([rules, [entry.here for entry in entries]])
    return SentState(
        digest=hashlib.sha256(text.encode()).hexdigest(),
        is_settled=all(entry.is_directory or is_settled(entry.status, began) for entry in entries),
        entries=tuple(entries),
    )


def _entries(
    trees: Iterable[UploadTree], writable: str, names: SentNames
) -> list[SentEntry] | None:
    entries = []
    for tree in trees:
        found = names.read(tree)
        if found is None:
            return None
        entries += [_entry(tree, writable, each) for each in found]
    return entries


def _entry(tree: UploadTree, writable: str, sent: SentPath) -> SentEntry:
    is_writable = contains(writable, sent.remote)
    return SentEntry(
        local=sent.local,
        remote=sent.remote,
        status=sent.status,
        deletes=tree.mirror and not is_writable,
        is_writable=is_writable,
    )


def _above(path: str) -> Iterator[str]:
    """Yield a path and all directories above it."""
    while path not in {"", "/"}:
        yield path
        path = posixpath.dirname(path)


def check_mirror(state: SentState, description: str) -> str | None:
    """Compare a mirror with what was sent, as rsync does: by types, sizes and times.

    Args:
        state: What was sent, as it was before.
        description: What the host's ``mlcr_describe_mirror`` has printed.

    Returns:
        The SHA-256 of the description; ``None`` if the mirror differs, or if its file system has no
        times that are precise enough to notice each change.
    """
    lines = description.splitlines()
    if len(lines) != len(state.entries):
        return None
    changes = set()
    for entry, line in zip(state.entries, lines, strict=True):
        words = line.split(" ", 11)
        if words[0] != f"{_sent_mode(entry.status.st_mode):x}":
            return None
        if entry.rank == 2:
            continue
        if " ".join(words[5:8]) != _readable_time(entry.status.st_mtime_ns):
            return None
        if not entry.is_directory and words[4] != str(entry.status.st_size):
            return None
        if entry.rank == 0:
            if len(words) != 12 or words[11] != entry.remote:
                return None
            changes.add(words[9].partition(".")[2].strip("0"))
    if not changes - {""}:
        return None
    return hashlib.sha256(description.encode("utf-8", "surrogateescape")).hexdigest()


def _sent_mode(mode: int) -> int:
    """Return the mode that an upload gives to a file or directory."""
    allowed = mode & ~(stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX)
    return allowed | (stat.S_IRWXU if stat.S_ISDIR(mode) else stat.S_IRUSR | stat.S_IWUSR)


def _readable_time(nanoseconds: int) -> str:
    """Return a time as stat(1) prints it with ``TZ=UTC0``."""
    seconds, rest = divmod(nanoseconds, _SECOND_NS)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(seconds))}.{rest:09d} +0000"
