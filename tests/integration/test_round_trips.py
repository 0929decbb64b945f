# SPDX-License-Identifier: Apache-2.0
"""The round trips of a run: behind a delay of half a second each way, they are its seconds."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from tests.support.command_line import command
from tests.support.interrupted_runs import behind
from tests.support.wire import wire_to

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.hosts import HostFactory

MOST = 20.0
"""Round trips of a run that changes nothing, without that of the TCP connection; and the seconds
of work on a busy machine."""


def test_a_run_without_changes_waits_for_few_round_trips(
    ssh_host: HostFactory, copy_cube: Path, tmp_path: Path
) -> None:
    host = ssh_host()
    with wire_to(host.port) as wire:
        inventory = behind(host, wire, tmp_path, keepalive=30)
        argv = command(inventory, copy_cube, f"--host={host.name}", "--task=copy")
        subprocess.run(argv, check=True, timeout=120)
        (copy_cube / "workspace/out/copy.txt").unlink()
        wire.delay = 0.5
        began = time.monotonic()
        subprocess.run(argv, check=True, timeout=120)
        seconds = time.monotonic() - began
    assert (copy_cube / "workspace/out/copy.txt").read_text() == "hello\n"
    assert seconds < MOST
