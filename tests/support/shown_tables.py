# SPDX-License-Identifier: Apache-2.0
"""A program for tests on a terminal: all tables, and the live display, of awkward imagined jobs.

Each text is printed as its command prints it; a line ``== NAME`` comes before it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from unittest import mock

import attrs
import click

from mlcube_remote.app import host_queries, job_lists, known_hosts
from mlcube_remote.app import hosts as app_hosts
from mlcube_remote.app.observer import RunReport
from mlcube_remote.cli.main import execute
from mlcube_remote.cli.option_groups import Display
from mlcube_remote.cli.report import print_report, print_status
from mlcube_remote.errors import UnreachableError
from mlcube_remote.events.model import (
    ConnectionLost,
    Stage,
    StageProgress,
    StageStarted,
    TrialStarted,
)
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.facts.usage import GpuUsage, HostUsage
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.disk import HostDisk, StoredItem
from mlcube_remote.jobs.query import FoundJob, FoundTask, HostJobs
from mlcube_remote.ui.progress.reporter import make_reporter
from tests.support.handles import TICKET

HOST = "gpu-node-with-a-very-long-name-0001.cluster.example.org"
PARAMETERS = {"learning_rate": "0.0001", "optimizer": "学習率の高い最適化手法" * 3, "seed": "7"}
NOW = 1_700_000_000
RUN = TICKET.run_id


def _jobs() -> list[HostJobs]:
    handle = attrs.evolve(
        TICKET, host=HOST, run_name="sweep-of-学習率", cube="言語モデル" * 6, parameters=PARAMETERS
    )
    task = FoundTask(task="train_and_evaluate", exit=None, started=NOW, finished=None)
    found = [
        FoundJob(
            host=HOST,
            job_id=f"{n}",
            state=state,
            age=90_000 * n,
            handle=attrs.evolve(handle, job=f"{n:02}", run_id=f"{RUN}{n // 3}"),
            tasks=(task,),
        )
        for n, state in enumerate(["running", "running", "ended", "elsewhere", "orphaned"])
    ]
    gone = UnreachableError("mistyped", "the name mistyped does not resolve " + "x" * 100)
    return [
        HostJobs(host=Host(name=HOST), jobs=tuple(found)),
        HostJobs(host=Host(name="mistyped"), error=gone),
    ]


def _usage() -> tuple[HostUsage, ...]:
    gpu = GpuUsage(
        index="0",
        uuid="GPU-1",
        name="NVIDIA H100 80GB HBM3 " * 3,
        memory=80 << 30,
        memory_used=3 << 30,
        busy=99,
        users=("alice", "bob"),
    )
    size = 1 << 41
    full = HostUsage(
        host=HOST,
        load=123.45,
        cpus=256,
        memory=size,
        memory_free=size,
        disk=size,
        disk_free=size,
        jobs=12,
        slots=16,
        gpus=(gpu,),
    )
    return (full, HostUsage(host="down", error=UnreachableError("down", "no route " * 20)))


def _disk() -> tuple[HostDisk, ...]:
    item = StoredItem(
        key="cubes/a-0123456789ab",
        name="言語モデル" * 12,
        client="alice-with-a-long-name@workstation-of-alice.example.org",
        size=1 << 40,
        age=400_000,
        is_recorded=True,
        unpulled=("x",),
    )
    return (HostDisk(host=HOST, root="/home/alice/.mlcube-remote", items=(item,)),)


def _outcomes() -> list[JobOutcome]:
    stages = {stage.value: 1234.5 for stage in Stage}
    statuses = (Status.SUCCEEDED, Status.FAILED, Status.RUNNING)
    return [
        JobOutcome(
            host=HOST,
            job=f"{n:02}",
            platform="docker",
            status=status,
            tasks=(TaskOutcome(task="train_and_evaluate", status=status, exit_code=3 * n),),
            seconds=stages,
            parameters=PARAMETERS,
        )
        for n, status in enumerate(statuses)
    ]


def _show_live() -> None:
    jobs = [f"{n:02}" for n in range(3)]
    reporter = make_reporter(hosts=jobs, quiet=False, verbose=False, json=False)
    for job in jobs:
        about = {"host": HOST, "job": job, "at": 0.0}
        reporter.handle(TrialStarted(**about, parameters=PARAMETERS))  # type: ignore[arg-type]
        reporter.handle(StageStarted(**about, stage=Stage.SYNC))  # type: ignore[arg-type]
        detail = "1.2 GB of 3.4 GB, 56.7 MB/s, 1h 2m left, 12345 of 67890 files, a/long/path"
        reporter.handle(StageProgress(**about, stage=Stage.SYNC, detail=detail))  # type: ignore[arg-type]
    lost = ConnectionLost(host=HOST, job="02", at=0.0, reason="no route to host", retry_in=9.0)
    reporter.handle(lost)
    reporter.close()


def main() -> None:
    """Print everything."""
    report = RunReport(run_id=RUN, outcomes=tuple(_outcomes()))
    chosen = mock.Mock(hosts=())
    fakes = {
        (app_hosts, "choose_hosts"): chosen,
        (job_lists, "list_filtered"): tuple(_jobs()),
        (known_hosts, "last_runs"): {"mistyped": "3d"},
        (host_queries, "read_usage"): _usage(),
        (host_queries, "read_disk"): _disk(),
    }
    for (module, name), value in fakes.items():
        mock.patch.object(module, name, lambda *_, value=value, **__: value).start()
    shown: dict[str, Callable[[], object]] = {
        "ps": lambda: execute(["ps", "--all"]),
        "ps --jobs": lambda: execute(["ps", "--all", "--jobs"]),
        "hosts top": lambda: execute(["hosts", "top"]),
        "hosts disk": lambda: execute(["hosts", "disk"]),
        "hosts list": lambda: execute(["hosts", "list"]),
        "run": lambda: print_report(report, Display()),
        "status": lambda: print_status(report, (), Display()),
        "live": _show_live,
    }
    for name, show in shown.items():
        click.echo(f"== {name}")
        sys.stdout.flush()
        show()
        sys.stderr.flush()


if __name__ == "__main__":
    main()
