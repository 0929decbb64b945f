# SPDX-License-Identifier: Apache-2.0
"""Measure how planning and scheduling a sweep grow with the number of its jobs.

Each number of jobs has a process of its own. It plans the sweep as ``run`` does, up to the first
login, then starts and ends all jobs in the scheduler without a host. Writes
build/bench-growth.json.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

from contenders import ROOT

from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.app.options import (
    ContainerOptions,
    CubeOptions,
    HostOptions,
    RunOptions,
    SweepOptions,
    TaskOptions,
)
from mlcube_remote.app.request import make_request
from mlcube_remote.files.complete_inputs import check_complete
from mlcube_remote.plan.plan import plan_placed_jobs
from mlcube_remote.runs.store import Store
from mlcube_remote.scheduling.pool import PoolJob
from mlcube_remote.scheduling.queue import build_queue
from mlcube_remote.scheduling.scheduler import (
    AttemptResult,
    HostSlots,
    PendingJob,
    RetryPolicy,
    Schedule,
)

CUBE = """
name: sweep
docker: {image: example/train}
tasks:
  train:
    parameters:
      inputs: {data: data/, config: {type: file, default: train.yaml}}
      outputs: {model: model/, log: {type: file, default: log.txt}}
"""
SWEPT = {"a file for each job": "config", "a value in a file": "lr"}


def main() -> None:
    """Measure all numbers of jobs, and print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[100, 1_000, 10_000], metavar="N")
    parser.add_argument("--measure", nargs=2, metavar=("N", "NAME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        count, name = options.measure
        print(json.dumps(_measure(int(count), name)))
        return
    rows = [_in_process(count, what) for what in SWEPT for count in options.jobs]
    target = ROOT / "build/bench-growth.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows, indent=2) + "\n")
    print(f"written to {target.relative_to(ROOT)}")


def _in_process(count: int, what: str) -> dict[str, str | int | float]:
    argv = [sys.executable, __file__, "--measure", str(count), SWEPT[what]]
    answer = subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout
    row = {"sweep": what, "jobs": count, **json.loads(answer)}
    print(
        "{jobs:>6} jobs, {sweep}: plan {plan_cpu_s:.2f} s, schedule {schedule_cpu_s:.2f} s, "
        "dry run {dry_run_cpu_s:.2f} s, {bytes_per_job} B per waiting job".format(**row)
    )
    return row


def _measure(count: int, name: str) -> dict[str, int | float]:
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-bench-") as temporary:
        options = _options(Path(temporary), count, name)
        began = time.process_time()
        queue = _plan(options)
        planned = time.process_time()
        _schedule(queue)
        scheduled = time.process_time()
        del queue
        dry_run(make_request(options)[0])
        listed = time.process_time()
        tracemalloc.start()
        queue = _plan(options)
        gc.collect()
        memory = tracemalloc.get_traced_memory()[0] / len(queue)
    return {
        "plan_cpu_s": round(planned - began, 3),
        "schedule_cpu_s": round(scheduled - planned, 3),
        "dry_run_cpu_s": round(listed - scheduled, 3),
        "bytes_per_job": round(memory),
    }


def _options(folder: Path, count: int, name: str) -> RunOptions:
    """Write a cube and an inventory of 16 hosts, and return a sweep with this many points."""
    workspace = folder / "cube/workspace"
    (workspace / "data").mkdir(parents=True)
    (folder / "cube/mlcube.yaml").write_text(CUBE)
    (workspace / "train.yaml").write_text("lr: 0.1\nmomentum: 0.9\nsteps: 2000\n")
    values = [f"{number}.yaml" if name == "config" else str(number) for number in range(count)]
    if name == "config":
        for value in values:
            (workspace / value).write_text("lr: 0.1\n")
    hosts = "".join(f"  h{number}: {{slots: 2}}\n" for number in range(16))
    (folder / "hosts.yaml").write_text(f"hosts:\n{hosts}")
    return RunOptions(
        hosts=HostOptions(names=("h[0-15]",), inventory=str(folder / "hosts.yaml")),
        cube=CubeOptions(path=str(folder / "cube")),
        tasks=TaskOptions(names=("train",)),
        container=ContainerOptions(trust_cube=True),
        sweep=SweepOptions(axes={name: tuple(values)}),
    )


def _plan(options: RunOptions) -> tuple[PoolJob, ...]:
    request, _ = make_request(options)
    placed = plan_placed_jobs(request)
    check_complete(placed)
    jobs = tuple(job.spec for job in placed)
    del placed  # as in a run: only the jobs stay
    return build_queue(request, jobs, Store())


def _schedule(queue: tuple[PoolJob, ...]) -> None:
    waiting = [PendingJob(job=job.name, order=order) for order, job in enumerate(queue)]
    hosts = [HostSlots(host=f"h{number}", slots=2) for number in range(16)]
    schedule = Schedule.begin(waiting, hosts, RetryPolicy())
    while not schedule.is_over:
        while schedule.next_starts(0.0):
            pass
        schedule.unplaceable_jobs()
        schedule.end_attempt(next(iter(schedule.placed)), AttemptResult.DONE, 0.0)


if __name__ == "__main__":
    main()
