# SPDX-License-Identifier: Apache-2.0
"""A script may edit a cube several times in a second."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.command_line import on
from tests.support.cubes import FILE, shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

SECOND = 1_700_000_000 * 10**9


def test_an_edit_in_the_same_second_is_sent(ssh_host: HostFactory, tmp_path: Path) -> None:
    task = shell_task('cat "${0#*=}"', inputs={"config": {**FILE, "default": "config"}})
    cube = write_cube(tmp_path / "cube", {"show": task})
    config, host = cube / "workspace" / "config", ssh_host("docker")
    for number, text in enumerate((b"lr=1\n", b"lr=2\n")):
        config.write_bytes(text)
        os.utime(config, ns=(SECOND + number, SECOND + number))
        assert on(host, cube, "--task=show").stdout == text
