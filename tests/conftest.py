# SPDX-License-Identifier: Apache-2.0
"""What holds for every test: nothing of the person's own configuration shows through."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# Read once, when testcontainers is imported: its clean-up container cannot be pulled where no
# registry answers. The label of the session serves instead; see tests/support/hosts.py.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"

# On a busy machine one example may take a hundred times as long as another.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _no_personal_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the person's inventory and state out of tests, and the tests' out of theirs."""
    for name in ("MLCUBE_REMOTE_INVENTORY", "SSH_AUTH_SOCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLCUBE_SYSTEM_SETTINGS", str(tmp_path / "xdg" / "mlcube.yaml"))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "xdg" / name.removeprefix("XDG_").lower()))
