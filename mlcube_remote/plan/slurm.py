# SPDX-License-Identifier: Apache-2.0
"""A job for Slurm: the options of sbatch, what runs before the tasks, what its container gets."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import attrs

from mlcube_remote.commands.model import Argv, Options
from mlcube_remote.commands.scratch import ScratchTarget
from mlcube_remote.errors import PlanError
from mlcube_remote.inventory.model import Host, Launcher
from mlcube_remote.plan.gpu_requests import requested_gpus
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.platforms import CONTAINER_ENGINES

_MARGIN_S = 300
"""Seconds beyond the tasks' own time limits, for outputs."""

_VALUED = ("partition", "account", "qos", "constraint", "nodes")
_SIZE = re.compile(r"(\d+)([bkmgt]?)b?", re.IGNORECASE)
_BYTES = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_MIB = 1024**2


@attrs.frozen(kw_only=True)
class BatchJob:
    """What Slurm gets."""

    options: Argv
    """Options of sbatch."""
    setup: str
    """Shell text that runs before the tasks; empty: none."""
    scratch: str = ""
    """Directory of the compute node for copies of what the tasks mount, which may have ``$NAME`` in
    it; empty: the tasks get no copies."""


def is_batch(spec: JobSpec) -> bool:
    """Return whether Slurm starts the job."""
    return spec.host.launcher is Launcher.SLURM


def check_batch(spec: JobSpec) -> None:
    """Reject a job that Slurm cannot run as it is asked for.

    Raises:
        PlanError: Its platform has containers of a daemon, or an option has no meaning for Slurm.
    """
    if is_batch(spec):
        if spec.platform in CONTAINER_ENGINES:
            raise PlanError(
                f"{spec.host.name}: launcher: slurm works with singularity and apptainer, "
                f"not with {spec.platform}",
                hint="--platform=apptainer; or platform: apptainer in the inventory",
            )
        batch_job(spec, "")


def container_options(spec: JobSpec) -> Options:
    """Return the options for the container: Slurm applies those for resources itself."""
    options = spec.request.options
    if not is_batch(spec):
        return options
    # Slurm says which GPUs the job may use; a number would hide them.
    gpus = "all" if options.gpus and options.gpus != "0" else options.gpus
    return attrs.evolve(options, gpus=gpus, memory=None, cpu=None)


def count_gpus(spec: JobSpec) -> int:
    """Return the number of GPUs to lease for a job; Slurm has leases of its own."""
    if is_batch(spec):
        return 0
    return _requested_gpus(spec)


def scratch_target(spec: JobSpec, root: str, job_dir: str) -> ScratchTarget | None:
    """Return where the tasks of a job find copies of what they mount, if the user wants copies.

    Args:
        spec: The job.
        root: ``remote_root`` of its host.
        job_dir: The job's directory on the host.
    """
    if not is_batch(spec) or "scratch" not in spec.host.slurm:
        return None
    return ScratchTarget(link=f"{job_dir}/slurm/scratch", own=root)


def trials_per_job(host: Host) -> int:
    """Return how many jobs of a sweep share one batch job on a host."""
    return int(host.slurm.get("trials_per_job", 1)) if host.launcher is Launcher.SLURM else 1


def batch_job(spec: JobSpec, job_dir: str, *, jobs: int = 1) -> BatchJob:
    """Return what Slurm gets for a job.

    Args:
        spec: The job, whose host has ``launcher: slurm``.
        job_dir: The job's directory on the host.
        jobs: Number of jobs that the batch job runs, one after the other.

    Raises:
        PlanError: An option of the command line has no meaning for Slurm.
    """
    given = spec.host.slurm
    # sbatch replaces patterns such as %j in file names.
    log = f"{job_dir}/supervise.log".replace("%", "%%")
    options = [
        *("--parsable", f"--job-name=mlcr-{spec.id}", f"--output={log}", "--open-mode=append"),
        *("--signal=B:TERM@60", "--requeue" if given.get("requeue") else "--no-requeue"),
        *(f"--{key}={given[key]}" for key in _VALUED if key in given),
        *_gpus(spec, given),
        *_cpus(spec),
        *_memory(spec),
        *_time(spec, given, jobs),
        *(["--exclusive"] if given.get("exclusive") else []),
        *given.get("extra", ()),
    ]
    return BatchJob(
        options=tuple(options),
        setup=setup_text(spec.host),
        scratch=given.get("scratch", ""),
    )


def load_text(host: Host) -> str:
    """Return the shell text that loads the modules of a cluster; empty: none."""
    return "".join(f"module load {name} || exit 1\n" for name in host.slurm.get("modules", ()))


def setup_text(host: Host) -> str:
    """Return the shell text that runs before tasks on a compute node; empty: none."""
    setup = host.slurm.get("setup", "")
    return load_text(host) + (f"{setup.rstrip()}\n" if setup.strip() else "")


def _gpus(spec: JobSpec, given: Mapping[str, Any]) -> list[str]:
    asked = spec.request.options.gpus
    if asked and not asked.isdecimal():
        raise PlanError(
            f"{spec.host.name}: --gpus={asked}: Slurm chooses the GPUs of a job",
            hint="give their number, such as --gpus=2; or --slurm gres=gpu:a100:2",
        )
    if "gres" in given:
        return [f"--gres={given['gres']}"]
    count = _requested_gpus(spec)
    return [f"--gres=gpu:{count}"] if count else []


def _requested_gpus(spec: JobSpec) -> int:
    sections = (*spec.host.settings.values(), *spec.cube.settings.values(), spec.user_settings)
    return requested_gpus(spec.request.options, spec.cube, spec.platform, sections)


def _cpus(spec: JobSpec) -> list[str]:
    asked = spec.request.options.cpu
    if asked is None:
        return []
    if not asked.isdecimal() or int(asked) == 0:
        raise PlanError(
            f"{spec.host.name}: --cpu={asked}: Slurm chooses the CPUs of a job",
            hint="give their number, such as --cpu=8",
        )
    return [f"--cpus-per-task={int(asked)}"]


def _memory(spec: JobSpec) -> list[str]:
    asked = spec.request.options.memory
    if asked is None:
        return []
    size = _SIZE.fullmatch(asked)
    if size is None:
        raise PlanError(
            f"{spec.host.name}: --memory={asked}: expected a size such as 4g", hint="--memory=4g"
        )
    # Without a unit, sbatch would read MiB, and engines bytes.
    return [f"--mem={max(1, math.ceil(int(size[1]) * _BYTES[size[2].lower()] / _MIB))}M"]


def _time(spec: JobSpec, given: Mapping[str, Any], jobs: int) -> list[str]:
    if "time" in given:
        return [f"--time={given['time']}"]
    if spec.request.timeout is None:
        return []
    seconds = spec.request.timeout * len(spec.request.tasks) * jobs + _MARGIN_S
    return [f"--time={math.ceil(seconds / 60)}"]
