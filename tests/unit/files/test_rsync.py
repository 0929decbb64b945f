# SPDX-License-Identifier: Apache-2.0
"""What rsync reports, and which versions are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.errors import (
    HostUnfitError,
    TransferError,
    UsageError,
)
from mlcube_remote.files import rsync
from mlcube_remote.transport.base import RsyncResult


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (11, "rsync: write failed: No space left on device (28)", "No space left on device"),
        (11, "rsync: write: Disk quota exceeded (122)", "Disk quota exceeded"),
        (23, 'rsync: open "x": Permission denied (13)\nrsync error', 'open "x": Permission denied'),
        (24, "file has vanished", "files vanished while they were read"),
        (30, "[Receiver] io timeout\nmore", "no data for 60 s"),
        (12, "sh: rsync: not found", "sh: rsync: not found"),
        (255, "", "rsync ended with status 255"),
        (23, "one\ntwo\nthree\nfour", "one; two; three"),
    ],
)
def test_rsyncs_status_and_words_are_read_together(code: int, said: str, expected: str) -> None:
    with pytest.raises(TransferError) as caught:
        rsync.check("h", "sync", RsyncResult(code, b"", said.encode()))
    assert expected in str(caught.value)
    assert str(caught.value).startswith("h: sync incomplete: ")


def test_rsyncs_statistics_are_read() -> None:
    output = (
        b"Number of regular files transferred: 1,204\nTotal transferred file size: 3,400,000 bytes"
    )
    moved = rsync.parse_stats(RsyncResult(0, output, b""))
    assert str(moved) == "1204 files, 3.4 MB"
    assert str(rsync.TransferStats(0, 0)) == "nothing new"
    assert str(rsync.TransferStats(1, 12)) == "1 file, 12 B"


@pytest.mark.parametrize(
    ("output", "message"),
    [("", "rsync was not found"), ("3.0.9", "rsync 3.0.9 is too old (required: 3.1.0")],
)
def test_a_hosts_rsync_has_a_floor(output: str, message: str) -> None:
    with pytest.raises(HostUnfitError) as caught:
        rsync.check_remote_version("h", output)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("3.2.4", "rsync 3.2.5 or newer is required on this machine, found 3.2.4"),
        ("", "rsync was not found on this mach"),
    ],
)
def test_this_machines_rsync_has_a_floor(
    version: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "rsync"
    fake.write_text(f"#!/bin/sh\necho 'rsync  version {version}  protocol version 31'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    rsync.local_version.cache_clear()
    try:
        with pytest.raises(UsageError) as caught:
            rsync.local_version()
    finally:
        rsync.local_version.cache_clear()
    assert message in str(caught.value)
