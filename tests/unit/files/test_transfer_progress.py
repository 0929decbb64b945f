# SPDX-License-Identifier: Apache-2.0
"""The progress that rsync prints becomes bytes, rate and the time left."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.files import transfer_progress
from mlcube_remote.files.transfer_progress import TransferProgress

PRINTED = (
    b"created directory b\ncd+++++++++ ./\n>f+++++++++ big\n"
    b"\r          32768   0%    0.00kB/s    0:00:00  "
    b"\r       10000000  18%    4.77MB/s    0:00:08  "
    b"\r       20000000  37%    4.77MB/s    0:00:06  "
    b"\r       53000000  99%    4.95MB/s    0:00:11 (xfr#1, to-chk=3/5)\n"
    b">f+++++++++ small\n"
    b"\r       53100000 100%    4.95MB/s    0:00:11 (xfr#2, to-chk=0/5)"
    b"\r       53100000 100%    4.95MB/s    0:00:11 (xfr#2, to-chk=0/5)\n"
    b"\nNumber of files: 5\n"
)
OTHERS = (
    b"created directory b\ncd+++++++++ ./\n>f+++++++++ big\n\n>f+++++++++ small\n\n\n"
    b"Number of files: 5\n"
)

Reports = list[tuple[str, float | None]]


@pytest.fixture(autouse=True)
def _reports_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_progress, "_INTERVAL_S", 0.0)


def test_each_line_is_bytes_of_bytes_a_rate_and_the_time_left() -> None:
    reports: Reports = []
    progress = TransferProgress(lambda *report: reports.append(report))
    for part in PRINTED.split(b"\r"):
        progress.read(b"\r" + part)
    assert reports == [
        ("32.8 kB", 0.0),
        ("10.0 MB of up to 53.8 MB, 5.0 MB/s, 9s left", 0.18),
        ("20.0 MB of up to 53.3 MB, 5.0 MB/s, 7s left", 0.37),
        ("53.0 MB of up to 53.3 MB, 5.2 MB/s, 0s left", 0.99),
        ("53.1 MB of up to 53.1 MB, 5.2 MB/s, 0s left", 1.0),
        ("53.1 MB of up to 53.1 MB, 5.2 MB/s, 0s left", 1.0),
    ]


@given(st.lists(st.integers(0, len(PRINTED)), max_size=6))
def test_all_other_lines_are_kept_wherever_the_text_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(PRINTED)]
    progress = TransferProgress(None)
    for begin, end in pairwise(edges):
        progress.read(PRINTED[begin:end])
    assert progress.others().replace(b"\n\n", b"\n") == OTHERS.replace(b"\n\n", b"\n")


@given(st.binary(max_size=200))
def test_any_bytes_are_read(data: bytes) -> None:
    reports: Reports = []
    TransferProgress(lambda *report: reports.append(report)).read(data)
    assert all(len(text) < 200 for text, _ in reports)


def test_a_host_cannot_fill_memory() -> None:
    progress = TransferProgress(None, limit=1000)
    for _ in range(100):
        progress.read(b"skipping non-regular file\n" * 100)
    assert len(progress.others()) == 1000
    endless = TransferProgress(None, limit=1000)
    for _ in range(100):
        endless.read(b"x" * 10_000)
    assert len(endless.others()) < 100_000


def test_reports_have_an_interval_except_at_the_end_of_a_large_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfer_progress, "_INTERVAL_S", 3600.0)
    reports: Reports = []
    progress = TransferProgress(lambda *report: reports.append(report))
    for part in PRINTED.split(b"\r"):
        progress.read(b"\r" + part)
    assert [fraction for _, fraction in reports] == [0.0, 0.99]


def test_the_rsync_of_this_machine_is_understood(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from/data").write_bytes(b"x" * 3_000_000)
    argv = ["rsync", "-r", "--no-human-readable", "--stats", "--info=progress2"]
    done = subprocess.run(
        [*argv, f"{tmp_path}/from/", f"{tmp_path}/to/"], capture_output=True, check=True
    )
    reports: Reports = []
    progress = TransferProgress(lambda *report: reports.append(report))
    progress.read(done.stdout)
    ((text, fraction),) = reports
    assert text.startswith("3.0 MB of up to 3.0 MB, ")
    assert fraction == 1.0
    assert b"%" not in progress.others()
    assert b"Total transferred file size: 3000000" in progress.others()
