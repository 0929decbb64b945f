# SPDX-License-Identifier: Apache-2.0
"""Fixtures of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.plans import CUBE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "cube"
    (folder / "workspace").mkdir(parents=True)
    (folder / "workspace/conf.yaml").write_text("x")
    (folder / "mlcube.yaml").write_text(CUBE)
    return folder
