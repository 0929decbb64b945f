# SPDX-License-Identifier: Apache-2.0
"""What an rsync's exit status and words mean, and which rsync is good enough."""

from __future__ import annotations

import re
import subprocess
from functools import cache

import attrs

from mlcube_remote.errors import HostUnfitError, TransferError, UsageError
from mlcube_remote.transport.base import RsyncResult

IO_TIMEOUT = 60
"""Seconds without a byte until either side gives up (rsync's ``--timeout``, sent to both)."""

REMOTE_FLOOR = (3, 1, 0)
"""The oldest rsync that a host may have: the first with ``--info`` and a sound ``-s``."""

LOCAL_FLOOR = (3, 2, 5)
"""The oldest rsync that may pull: it refuses names that it did not ask for (CVE-2022-29154)."""

LOCAL_ADVISED = (3, 4, 3)
"""Older ones have known holes a hostile host could use (CVE-2024-12084 to -12088 and later)."""

SOME_FILES = 23
"""Status of an rsync that could not send some of the files, but sent all others."""

VANISHED = 24
"""Status of an rsync that sent all but files which were gone when it came to them."""

_FULL = {
    "No space left on device": "some space, or file names (df -i),",
    "Disk quota exceeded": "some of your quota",
}
"""What a full disk says → what is to be freed."""

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_COUNT = re.compile(rb"^Number of regular files transferred: ([\d,]+)", re.MULTILINE)
_BYTES = re.compile(rb"^Total transferred file size: ([\d,]+)", re.MULTILINE)


@attrs.frozen
class TransferStats:
    """How much a transfer moved."""

    files: int
    size: int
    """Bytes of the files that were not yet the same on the other side."""

    def __str__(self) -> str:
        if not self.files:
            return "nothing new"
        noun = "file" if self.files == 1 else "files"
        return f"{self.files} {noun}, {readable_size(self.size)}"


def readable_size(size: float) -> str:
    """Return a number of bytes as people read it: ``3.4 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def parse_stats(result: RsyncResult) -> TransferStats:
    """Read rsync's ``--stats``."""
    return TransferStats(_number(_COUNT, result.stdout), _number(_BYTES, result.stdout))


def _number(pattern: re.Pattern[bytes], text: bytes) -> int:
    match = pattern.search(text)
    return int(match[1].replace(b",", b"")) if match else 0


def parse_version(text: str) -> tuple[int, int, int] | None:
    """Return the first ``X.Y.Z`` of ``text``."""
    match = _VERSION.search(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


@cache
def local_version() -> tuple[int, int, int]:
    """Return the version of this machine's rsync.

    Raises:
        UsageError: There is none, or it is too old to pull from a host safely.
    """
    try:
        told = subprocess.run(
            ["rsync", "--version"], capture_output=True, text=True, check=False, timeout=30
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        told = ""
    version = parse_version(told)
    if version is None:
        raise UsageError(
            "rsync was not found on this machine",
            hint="install it: apt-get install rsync, dnf install rsync or brew install rsync",
        )
    if version < LOCAL_FLOOR:
        raise UsageError(
            f"rsync {format_version(version)} on this machine is too old: "
            f"before {format_version(LOCAL_FLOOR)} a host could write files that nobody asked for",
            hint="install a newer rsync",
        )
    return version


def outdated_warning() -> str | None:
    """Return a warning when this machine's rsync is usable but has known holes.

    Raises:
        UsageError: There is none, or it must not be used; see :func:`local_version`.
    """
    version = local_version()
    if version >= LOCAL_ADVISED:
        return None
    return (
        f"rsync {format_version(version)} on this machine has known holes that a hostile host "
        f"could use; {format_version(LOCAL_ADVISED)} or newer has not"
    )


def check_remote_version(host: str, told: str) -> None:
    """Refuse a host whose rsync is missing or too old.

    Args:
        host: Inventory name.
        told: The version it told, or nothing.

    Raises:
        HostUnfitError: There is no rsync there, or one older than :data:`REMOTE_FLOOR`.
    """
    version = parse_version(told)
    floor = format_version(REMOTE_FLOOR)
    if version is None:
        raise HostUnfitError(
            host,
            f"rsync was not found there (needed: {floor} or newer)",
            hint=f"on {host}: sudo apt-get install rsync (or dnf, apk, zypper)",
        )
    if version < REMOTE_FLOOR:
        raise HostUnfitError(
            host,
            f"rsync {format_version(version)} there is too old (needed: {floor} or newer)",
            hint=f"on {host}: install a newer rsync, or put one first on the PATH",
        )


def format_version(version: tuple[int, ...]) -> str:
    """Return a version as it is written."""
    return ".".join(map(str, version))


def check(host: str, direction: str, result: RsyncResult) -> None:
    """Turn a failed rsync into an error that says what happened.

    Exit status and messages are read together, since one status has many causes.

    Args:
        host: Inventory name.
        direction: ``sync`` or ``pull``, for the message.
        result: What rsync left.

    Raises:
        TransferError: The transfer is not complete.
    """
    if result.code == 0:
        return
    told = result.stderr.decode("utf-8", "replace")
    reason, hint = _explain(direction, result.code, told)
    raise TransferError(host, f"{direction} incomplete: {reason}", hint=hint)


def is_full(result: RsyncResult) -> bool:
    """Whether a failed rsync failed because a disk is full."""
    told = result.stderr.decode("utf-8", "replace")
    return result.code != 0 and any(said in told for said in _FULL)


def _explain(direction: str, code: int, told: str) -> tuple[str, str | None]:
    lines = [line for line in told.splitlines() if line.strip()]
    for line in lines:
        for said, room in _FULL.items():
            if said in line:
                return line.strip(), _make_room(direction, room)
    denied = [line.strip() for line in lines if "Permission denied" in line]
    if denied:
        return (
            "; ".join(denied[:3]),
            "the files belong to another user: a container that ran as root wrote them, perhaps",
        )
    if code == VANISHED:
        return "files vanished while they were read", "run it again once nothing changes the cube"
    if code in (12, 255) or not lines:
        return lines[0].strip() if lines else f"rsync ended with status {code}", None
    if code in (30, 35):
        return f"nothing was heard for {IO_TIMEOUT} s", "check the network and run it again"
    return "; ".join(line.strip() for line in lines[:3]), None


def _make_room(direction: str, room: str) -> str:
    if direction == "pull":
        return f"free {room} on this machine and pull again; the outputs are still on the host"
    return f"free {room} there, or set another remote_root"
