# SPDX-License-Identifier: Apache-2.0
"""What is remembered of mirrors is private, bounded, and never in the way."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from mlcube_remote.runs import sent_mirrors
from mlcube_remote.runs.sent_mirrors import SentMirror, SentMirrors

MIRROR = SentMirror(host="home=/h", image="linux/amd64", sent="a", mirror="b")


def test_what_is_written_is_read_under_the_same_key(tmp_path: Path) -> None:
    mirrors = SentMirrors(tmp_path / "mirrors")
    mirrors.write(["h", "cube"], MIRROR)
    assert mirrors.read(["h", "cube"]) == MIRROR
    assert mirrors.read(["h", "cub", "e"]) is None
    mirrors.forget(["h", "cube"])
    mirrors.forget(["h", "cube"])
    assert mirrors.read(["h", "cube"]) is None


def test_there_are_not_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_mirrors, "MAX_DOCUMENTS", 3)
    mirrors = SentMirrors(tmp_path)
    for number in range(5):
        mirrors.write([str(number)], MIRROR)
    assert len(list(tmp_path.glob("*.json"))) == 3
    assert mirrors.read(["4"]) == MIRROR


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    mirrors = SentMirrors(tmp_path)
    mirrors.write(["h"], attrs.evolve(MIRROR, host="x" * 100_000))
    assert mirrors.read(["h"]) is None
    mirrors.write(["h"], MIRROR)
    (path,) = tmp_path.glob("*.json")
    path.write_text(path.read_text() + " " * 100_000)
    assert mirrors.read(["h"]) is None


def test_a_directory_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    mirrors = SentMirrors(tmp_path / "file" / "mirrors")
    mirrors.write(["h"], MIRROR)
    assert mirrors.read(["h"]) is None
