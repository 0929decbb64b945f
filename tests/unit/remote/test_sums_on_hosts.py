# SPDX-License-Identifier: Apache-2.0
"""Hosts tell what their files hold, whatever the files are called."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.unit.remote.conftest import Call

NAMES = ["plain", "-n", "with space", "new\nline", "back\\slash", "ä", "$(id)", "deep/er"]


def test_files_are_summed_whatever_they_are_called(call: Call, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in NAMES:
        (tmp_path / name).write_text(name)
    done = call("mlcr_print_checksums", str(tmp_path), *NAMES, "missing")
    told = done.stdout.decode().split("\0")
    assert told == [*(hashlib.sha256(name.encode()).hexdigest() for name in NAMES), "", ""]


def test_a_folder_that_is_not_there_is_told(call: Call, tmp_path: Path) -> None:
    assert call("mlcr_print_checksums", str(tmp_path / "none"), "x").returncode == 1


def test_a_host_without_a_program_for_it_says_so(call: Call, tmp_path: Path) -> None:
    assert call("mlcr_print_checksums", str(tmp_path), "x", PATH=str(tmp_path)).returncode == 127
