# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mlcube_remote.commands.model import TaskCommands
from tests.support.task_commands import build_from_text


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., TaskCommands]:
    """Build the commands of the one task of a cube given as YAML."""
    return partial(build_from_text, tmp_path, trusted=True)
