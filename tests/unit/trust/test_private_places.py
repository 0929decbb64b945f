# SPDX-License-Identifier: Apache-2.0
"""Which places a link may not open."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.trust.private_places import describe_private_place


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/", "contains your home directory"),
        ("home", "contains your home directory"),
        ("home/ada", "contains your home directory"),
        ("home/ada/.ssh/id_ed25519", "is hidden in your home directory"),
        ("home/ada/.aws", "is hidden in your home directory"),
        ("home/ada/.bash_history", "is hidden in your home directory"),
        ("/proc/self/environ", "describes this machine"),
        ("home/ada/.cache/huggingface/hub", None),
        ("home/ada/data", None),
        ("home/adam", None),
        ("/mnt/big", None),
    ],
)
def test_only_data_is_reached_through_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, reason: str | None
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home/ada"))
    assert describe_private_place(tmp_path / place) == reason
