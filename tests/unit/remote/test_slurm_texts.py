# SPDX-License-Identifier: Apache-2.0
"""What squeue and sacct print on real clusters, from Slurm 20.11 to 24.11, is understood.

The texts are written by hand after the manual pages of these versions and what users of clusters
have published.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import attrs
import pytest

from mlcube_remote.remote import slurm_scheduler
from tests.support.fake_slurm import FakeSlurm
from tests.support.shell_library import SHELLS, Completed, records

DOWN = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions"
LISTINGS = {
    "20.11": (
        # Other jobs of the user: an array, and a job of two parts.
        "4712_[3-10%2] PENDING JobArrayTaskLimit",
        "4712_1 RUNNING None",
        "4714+0 PENDING Resources",
        "4713 PENDING ReqNodeNotAvail, UnavailableNodes:cn[001-004,017]",
        "4715 RUNNING None",
        "4716 PENDING (null)",
        "4718 OUT_OF_MEMORY OutOfMemory",
        "4719 REVOKED None",
    ),
    "24.11": (
        "214713 RUNNING None",
        f"4713 PENDING {DOWN}",
        "4715 COMPLETING None",
        "4716 CONFIGURING None",
        "4718 TIMEOUT TimeLimit",
        "4719 LAUNCH_FAILED launch_failed_requeued_held",
    ),
}
STATES = {"4712": "lost", "4713": "queued", "4715": "running", "4716": "queued", "4718": "lost"}
"""Batch job → state of a job that runs it, and left no record. The first one is not listed."""
REASONS = {
    ("20.11", "4713"): "ReqNodeNotAvail, UnavailableNodes:cn[001-004,017]",
    ("20.11", "4716"): "Starting",
    ("24.11", "4713"): DOWN,
    ("24.11", "4716"): "Starting",
}


@attrs.frozen
class Job:
    """A job that Slurm was given, and whose directory has no end."""

    folder: Path
    shell: str

    def ask(self, command: str) -> Completed:
        """Run a command of the scheduler."""
        return subprocess.run(
            [*SHELLS[self.shell], str(self.folder / "scheduler"), command, str(self.folder)],
            capture_output=True,
            check=False,
            timeout=60,
        )

    @property
    def state(self) -> str:
        """The state as the scheduler prints it."""
        return self.ask("state").stdout.decode().strip()


def submitted(job: Path, number: str, shell: str) -> Job:
    folder = job.with_name(f"j{number}")
    (folder / "tasks/1").mkdir(parents=True)
    (folder / "tasks/1/exit.pending").touch()
    (folder / "slurm").mkdir()
    (folder / "slurm/id").write_text(f"{number}\n")
    (folder / "slurm/missing").write_text(f"{int(time.time()) - 100}\n")
    (folder / "scheduler").write_text(slurm_scheduler())
    return Job(folder, shell)


def program(slurm: FakeSlurm, name: str, *lines: str) -> None:
    """Let a program of Slurm print these lines."""
    text = slurm.folder / f"{name}.txt"
    text.write_text("".join(f"{line}\n" for line in lines))
    file = slurm.folder / name
    file.write_text(f"#!/bin/sh\nexec cat '{text}'\n")
    file.chmod(0o755)


@pytest.mark.parametrize("version", LISTINGS)
@pytest.mark.parametrize("shell", SHELLS)
def test_listings_of_squeue(job: Path, slurm: FakeSlurm, shell: str, version: str) -> None:
    assert os.environ["PATH"].startswith(f"{slurm.folder}:")
    program(slurm, "squeue", *LISTINGS[version])
    jobs = {number: submitted(job, number, shell) for number in (*STATES, "4719")}
    assert {number: jobs[number].state for number in STATES} == STATES
    assert jobs["4719"].state == "unknown", "a new word, or one about another cluster"
    for (listing, number), reason in REASONS.items():
        if listing == version:
            assert dict(records(jobs[number].ask("report")))["queued"] == reason


@pytest.mark.parametrize(
    ("lines", "end"),
    [
        (("COMPLETED",), "COMPLETED"),
        (("CANCELLED by 4711",), "CANCELLED by 4711"),
        (("CANCELLED by 0",), "CANCELLED by root"),
        (("RUNNING",), "ABSENT"),
        (("NODE_FAIL", "TIMEOUT"), "TIMEOUT"),
        (("REQUEUED", "OUT_OF_MEMORY"), "OUT_OF_MEMORY"),
        ((), "ABSENT"),
    ],
)
def test_answers_of_sacct(job: Path, slurm: FakeSlurm, lines: tuple[str, ...], end: str) -> None:
    program(slurm, "squeue", *LISTINGS["20.11"])
    program(slurm, "sacct", *lines)
    gone = submitted(job, "4712", "dash")
    assert gone.state == ("ended" if end.startswith("CANCELLED") else "lost")
    assert dict(records(gone.ask("report")))["scheduler"] == end
