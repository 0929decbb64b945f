# SPDX-License-Identifier: Apache-2.0
"""A named lock is held by one process or thread at a time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mlcube_remote.errors import RecordError
from mlcube_remote.runs.locks import exclusive


def test_the_second_waits_and_other_names_do_not() -> None:
    order: list[str] = []
    is_waiting = threading.Event()

    def second() -> None:
        with exclusive("mirror", is_waiting.set):
            order.append("second")

    with exclusive("mirror", must_not_wait), exclusive("another", must_not_wait):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert is_waiting.wait(10)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def must_not_wait() -> None:
    pytest.fail("the lock is free")


def test_a_directory_that_cannot_be_written_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(RecordError, match="nothing can be locked"), exclusive("x", must_not_wait):
        pass
