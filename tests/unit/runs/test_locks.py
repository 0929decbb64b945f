# SPDX-License-Identifier: Apache-2.0
"""A name is held by one at a time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mlcube_remote.runs.locks import alone
from mlcube_remote.runs.store import RecordError


def test_who_comes_second_waits_and_other_names_do_not() -> None:
    order: list[str] = []
    told = threading.Event()

    def second() -> None:
        with alone("mirror", told.set):
            order.append("second")

    with alone("mirror", nobody), alone("another", nobody):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert told.wait(10)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def nobody() -> None:
    pytest.fail("nobody else is there")


def test_a_place_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(RecordError, match="nothing can be locked"), alone("x", nobody):
        pass
