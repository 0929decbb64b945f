# SPDX-License-Identifier: Apache-2.0
"""Interpret rsync's exit status and messages, and check its version."""

from __future__ import annotations

import re
import subprocess
from functools import cache

import attrs

from mlcube_remote.errors import HostUnfitError, TransferError, UsageError
from mlcube_remote.formatting import readable_size
from mlcube_remote.transport.base import RsyncResult

IO_TIMEOUT = 60
"""Seconds without data until either side stops (rsync's ``--timeout``, sent to both)."""

REMOTE_FLOOR = (3, 1, 0)
"""Oldest supported rsync on a host: the first with ``--info`` and a safe ``-s``."""

LOCAL_FLOOR = (3, 2, 5)
"""Oldest supported rsync here: it refuses file names that it did not request (CVE-2022-29154)."""

LOCAL_ADVISED = (3, 4, 3)
"""Older versions have holes that a hostile host can use (CVE-2024-12084 to -12088 and later)."""

OPENRSYNC = "openrsync"
"""What a host reports that has the rsync of macOS or OpenBSD, another program."""

SOME_FILES = 23
"""Exit status if some files could not be transferred, and all others were."""

VANISHED = 24
"""Exit status if some files vanished before their transfer, and all others were transferred."""

_FULL = {
    "No space left on device": "some space, or inodes (df -i),",
    "Disk quota exceeded": "some of your quota",
}
"""Message of a full disk → what to free."""

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_COUNT = re.compile(rb"^Number of regular files transferred: ([\d,]+)", re.MULTILINE)
_BYTES = re.compile(rb"^Total transferred file size: ([\d,]+)", re.MULTILINE)


@attrs.frozen
class TransferStats:
    """Statistics of a transfer."""

    files: int
    """Number of files that differed."""
    size: int
    """Size of these files, in bytes."""

    def __str__(self) -> str:
        if not self.files:
            return "nothing new"
        noun = "file" if self.files == 1 else "files"
        return f"{self.files} {noun}, {readable_size(self.size)}"


def parse_stats(result: RsyncResult) -> TransferStats:
    """Parse the output of rsync's ``--stats``."""
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
        UsageError: It is missing, or too old to pull from a host safely.
    """
    try:
        output = subprocess.run(
            ["rsync", "--version"], capture_output=True, text=True, check=False, timeout=30
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        output = ""
    version = parse_version(output)
    if output.startswith(OPENRSYNC):
        raise UsageError(
            f"the rsync of this machine is openrsync; rsync {format_version(LOCAL_FLOOR)} or newer "
            "is required",
            hint="macOS: brew install rsync; OpenBSD: pkg_add rsync",
        )
    if version is None:
        raise UsageError(
            "rsync was not found on this machine",
            hint="install it: apt-get install rsync, dnf install rsync or brew install rsync",
        )
    if version < LOCAL_FLOOR:
        raise UsageError(
            f"rsync {format_version(LOCAL_FLOOR)} or newer is required on this machine, found "
            f"{format_version(version)}: with older versions a host can write other files than "
            "requested",
            hint="install a newer rsync (macOS: brew install rsync)",
        )
    return version


def outdated_warning() -> str | None:
    """Return a warning if this machine's rsync is usable but has known security holes.

    Raises:
        UsageError: It is missing or too old; see :func:`local_version`.
    """
    version = local_version()
    if version >= LOCAL_ADVISED:
        return None
    return (
        f"rsync {format_version(version)} on this machine has security holes that a hostile host "
        f"can use; they are fixed in {format_version(LOCAL_ADVISED)}"
    )


def check_remote_version(host: str, reported: str) -> None:
    """Refuse a host whose rsync is missing or too old.

    Args:
        host: Inventory name.
        reported: The version that the host reported; empty if it found no rsync.

    Raises:
        HostUnfitError: rsync is missing, or older than :data:`REMOTE_FLOOR`.
    """
    version = parse_version(reported)
    floor = format_version(REMOTE_FLOOR)
    if reported == OPENRSYNC:
        raise HostUnfitError(
            host,
            f"its rsync is openrsync, which lacks options (required: rsync {floor} or newer)",
            hint=f"on {host}: install rsync (macOS: brew install rsync, OpenBSD: pkg_add rsync) "
            "and put its directory first on the PATH in ~/.zshenv, or for bash in ~/.bashrc: "
            "export PATH=/opt/homebrew/bin:/usr/local/bin:$PATH",
        )
    if version is None:
        raise HostUnfitError(
            host,
            f"rsync was not found (required: {floor} or newer)",
            hint=f"on {host}: sudo apt-get install rsync (or dnf, apk, zypper)",
        )
    if version < REMOTE_FLOOR:
        raise HostUnfitError(
            host,
            f"rsync {format_version(version)} is too old (required: {floor} or newer)",
            hint=f"on {host}: install a newer rsync, or put one first on the PATH",
        )


def format_version(version: tuple[int, ...]) -> str:
    """Format a version: ``3.2.7``."""
    return ".".join(map(str, version))


def check(host: str, direction: str, result: RsyncResult) -> None:
    """Raise an error with the cause if rsync failed.

    One exit status has many causes, so the messages count too.

    Args:
        host: Inventory name.
        direction: ``sync`` or ``pull``, for the message.
        result: The result of rsync.

    Raises:
        TransferError: The transfer is incomplete.
    """
    if result.code == 0:
        return
    stderr = result.stderr.decode("utf-8", "replace")
    reason, hint = _explain(direction, result.code, stderr)
    raise TransferError(host, f"{direction} incomplete: {reason}", hint=hint)


def is_full(result: RsyncResult) -> bool:
    """Return whether rsync failed because a disk is full."""
    stderr = result.stderr.decode("utf-8", "replace")
    return result.code != 0 and any(message in stderr for message in _FULL)


def _explain(direction: str, code: int, stderr: str) -> tuple[str, str | None]:
    lines = [line for line in stderr.splitlines() if line.strip()]
    for line in lines:
        for message, what in _FULL.items():
            if message in line:
                return line.strip(), _free_space_hint(direction, what)
    denied = [line.strip() for line in lines if "Permission denied" in line]
    if denied:
        return (
            "; ".join(denied[:3]),
            "the files belong to another user; perhaps a container that ran as root wrote them",
        )
    if code == VANISHED:
        return "files vanished while they were read", "run it again once nothing changes the cube"
    if code in (12, 255) or not lines:
        return lines[0].strip() if lines else f"rsync ended with status {code}", None
    if code in (30, 35):
        return f"no data for {IO_TIMEOUT} s", "check the network and run it again"
    return "; ".join(line.strip() for line in lines[:3]), None


def _free_space_hint(direction: str, what: str) -> str:
    if direction == "pull":
        return f"free {what} on this machine and pull again; the outputs are still on the host"
    return f"free {what} on the host, or set another remote_root"
