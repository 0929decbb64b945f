# SPDX-License-Identifier: Apache-2.0
"""What holds for every test: nothing of the person's own configuration shows through."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Read once, when testcontainers is imported: its clean-up container cannot be pulled where no
# registry answers. The label of the session serves instead; see tests/support/hosts.py.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"

# On a busy machine one example may take a hundred times as long as another.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def _no_personal_settings_in_fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the person's settings out of fixtures that many tests share."""
    with pytest.MonkeyPatch.context() as patch:
        _hide_personal_settings(patch, tmp_path_factory.mktemp("fixtures"))
        yield


@pytest.fixture(autouse=True)
def _no_personal_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the person's inventory and state out of tests, and the tests' out of theirs."""
    _hide_personal_settings(monkeypatch, tmp_path)


def _hide_personal_settings(patch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in ("MLCUBE_REMOTE_INVENTORY", "SSH_AUTH_SOCK"):
        patch.delenv(name, raising=False)
    patch.setenv("MLCUBE_SYSTEM_SETTINGS", str(folder / "xdg" / "mlcube.yaml"))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        patch.setenv(name, str(folder / "xdg" / name.removeprefix("XDG_").lower()))
