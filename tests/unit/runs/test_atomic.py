# SPDX-License-Identifier: Apache-2.0
"""Files are replaced as a whole, or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mlcube_remote.runs.atomic import write_atomically


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_and_no_temporary_file_is_left(tmp_path: Path, durable: bool) -> None:
    file = tmp_path / "x.json"
    file.write_text("old")
    write_atomically(file, "new ä", durable=durable)
    assert file.read_text(encoding="utf-8") == "new ä"
    assert list(tmp_path.iterdir()) == [file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "x.json"
    file.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(file, "new", durable=True)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_is_replaced_and_its_target_is_not_written(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, "new")
    assert (target.read_text(), link.read_text(), link.is_symlink()) == ("old", "new", False)
