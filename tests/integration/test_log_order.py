# SPDX-License-Identifier: Apache-2.0
"""All commands show the two streams of a task as one, in the order of their arrival."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import again, on
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

TALK = shell_task(
    "for n in 1 2 3 4; do echo err $n >&2; sleep 2; echo out $n; sleep 2; done",
)
LINES = [f"{stream} {number}" for number in range(1, 5) for stream in ("err", "out")]


def joined(command: str, *arguments: str) -> list[str]:
    """Run a command with both streams in one pipe, and return the lines of the task."""
    done = subprocess.run(
        [sys.executable, "-m", "mlcube_remote", command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
        timeout=120,
    )
    return [line for line in done.stdout.decode().splitlines() if line[:4] in {"err ", "out "}]


@pytest.mark.parametrize("flavour", ["docker", "busybox", "apptainer"])
def test_the_order_of_arrival_is_served_everywhere(
    ssh_host: HostFactory, tmp_path: Path, flavour: str
) -> None:
    cube = write_cube(tmp_path / "cube", {"talk": TALK})
    platform = f"--platform={'apptainer' if flavour == 'apptainer' else 'docker'}"
    done = on(ssh_host(flavour), cube, "--task=talk", platform, "--detach", "--output=json")
    assert done.returncode == 0, done.stderr.decode()
    run_id = json.loads(done.stdout)["run"]
    time.sleep(7)
    # The first lines come from the record, the others as they are written.
    assert joined("attach", run_id, "--quiet") == LINES
    assert joined("attach", run_id, "--quiet") == LINES
    assert joined("logs", run_id) == LINES
    assert joined("logs", run_id, "--tail=4") == LINES[-4:]
    assert joined("attach", run_id, "--quiet", "--tail=3") == LINES[-3:]
    stamped = again("logs", run_id, "--timestamps").stdout.decode().splitlines()
    times = [datetime.fromisoformat(line[:19]) for line in stamped]
    assert [line[19:] for line in stamped] == [f"Z out {n}" for n in range(1, 5)]
    assert times == sorted(times)
    assert times[0] < times[-1], "the times of arrival, not of this command"
    since = again("logs", run_id, f"--since={times[2].isoformat()}Z").stdout.decode()
    later = [line[21:] for line, at in zip(stamped, times, strict=True) if at >= times[2]]
    assert since.splitlines() == later
    # Each stream alone is what the task wrote.
    alone = again("logs", run_id)
    assert alone.stdout == b"".join(f"out {n}\n".encode() for n in range(1, 5))
    assert alone.stderr == b"".join(f"err {n}\n".encode() for n in range(1, 5))
