# SPDX-License-Identifier: Apache-2.0
"""The order of logs: the streams of a task as they arrived, and one job after the other."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import again, on, run
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.sweeps import Pool, jobs

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


COUNT = shell_task(
    's=${0#*=}; read -r line <"$s"; '
    'for i in 1 2 3; do echo "number ${line#*: }, line $i"; sleep 0.3; done',
    inputs={"settings": {**FILE, "default": "settings.yaml"}},
)


def test_jobs_are_printed_one_after_the_other_and_a_command_hears_of_their_end(
    ssh_host: HostFactory, pool: Pool, tmp_path: Path
) -> None:
    cube = write_cube(tmp_path / "cube", {"count": COUNT})
    (cube / "workspace/settings.yaml").write_text("number: 0\n")
    host = ssh_host()
    notified = tmp_path / "notified"
    done = run(
        pool(host, slots=3),
        cube,
        *(f"--host={host.name}", "--task=count", "--sweep", "number=7,8,9", "--output=json"),
        f"--notify=sh -c 'echo $MLCUBE_REMOTE_MESSAGE >{notified}; cat >>{notified}'",
    )
    assert [job["job"] for job in jobs(done)] == ["01", "02", "03"]
    message, given = notified.read_text().split("\n", 1)
    assert message.endswith(": all 3 jobs succeeded")
    assert json.loads(given) == json.loads(done.stdout)

    def logs(*options: str) -> list[str]:
        return again("logs", "last", *options).stdout.decode().splitlines()

    printed = {
        number: [
            f"{number:02}@{host.name} | number {number + 6}, line {line}" for line in (1, 2, 3)
        ]
        for number in (1, 2, 3)
    }
    assert logs() == [*printed[1], *printed[2], *printed[3]], "although they ran at the same time"
    assert logs("--job=03,01") == [*printed[1], *printed[3]]
    assert logs("--job=[02-03]") == [*printed[2], *printed[3]]
    assert logs("--job=2") == ["number 8, line 1", "number 8, line 2", "number 8, line 3"]
    assert logs(f"--job={host.name}") == logs()
    refused = again("logs", "last", "--job=4")
    assert refused.returncode == 2
    assert b"has no job '4'\nhint: its jobs: 01, 02, 03" in refused.stderr
