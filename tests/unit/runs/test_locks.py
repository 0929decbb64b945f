# SPDX-License-Identifier: Apache-2.0
"""A name is held by one at a time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from mlcube_remote.runs.locks import alone
from mlcube_remote.runs.store import RecordError


def test_who_comes_second_waits_and_other_names_do_not() -> None:
    order: list[str] = []

    def second() -> None:
        with alone("mirror"):
            order.append("second")

    with alone("mirror"), alone("another"):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.1)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_a_place_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(RecordError, match="nothing can be locked"), alone("x"):
        pass
