# SPDX-License-Identifier: Apache-2.0
"""The directory for mlcube-remote's own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.directories import state_home


def test_the_state_directory_belongs_to_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_home() == tmp_path / "mlcube-remote"


@pytest.mark.parametrize("value", ["", "relative/path", "~/state"])
def test_a_relative_path_in_the_variable_does_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_home() == tmp_path / ".local" / "state" / "mlcube-remote"
