# SPDX-License-Identifier: Apache-2.0
"""Launch a job: write the files that its tasks expect, and start them under their supervisor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import attrs

from mlcube_remote.commands.chown import chown_arguments
from mlcube_remote.commands.launch_options import insert_options, secret_variable
from mlcube_remote.commands.model import Argv, TaskCommands
from mlcube_remote.cube.host_paths import normalize
from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.errors import HostError
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.launch import (
    Claimed,
    ConfinedCopy,
    Prerequisites,
    TaskStart,
    begin_arguments,
    launch,
    leads_out_error,
    mount_words,
)
from mlcube_remote.jobs.slurm import schedule
from mlcube_remote.plan.confined import Confined, confine
from mlcube_remote.plan.job_plan import BuiltTask, JobPlan
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.remote import status
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection
from mlcube_remote.transport.quoting import quote_words

if TYPE_CHECKING:
    from mlcube_remote.plan.sweep_targets import GeneratedFile

_CHUNK = 64 * 1024
"""Characters of a file that one call writes: a shell reads them all at once."""


def write_generated_files(job: JobContext, plan: JobPlan) -> None:
    """Write the input files that are generated for one job of a sweep.

    Raises:
        UnsafeContentError: A link leads from one of them to another place.
    """
    if plan.spec.trial is not None:
        from mlcube_remote.plan.trials import generated_file_paths  # noqa: PLC0415 - only sweeps

        files = generated_file_paths(plan.paths, plan.spec.trial)
        named = [(file, confine(path, plan.paths)) for file, path in files]
        job.connection.retrying(partial(_write_files, named))


def launch_job(
    job: JobContext,
    plan: JobPlan,
    handle: JobHandle,
    described: Sequence[str] = (),
    *,
    together: bool = False,
) -> str:
    """Start the tasks under their supervisor, which needs no client.

    Args:
        job: The job.
        plan: Its plan.
        handle: Its handle.
        described: As for :func:`mlcube_remote.jobs.launch.launch`, which says what is returned.
        together: Whether the job shares a batch job with others: it is submitted after its launch.

    Raises:
        ClaimLostError: Another job has had the workspace or a GPU since the claim.
        StateUnknownError: The host gave no answer: the tasks may run.
        HostError: The tasks could not be started.
    """
    start = plan_start(job, plan, handle)
    if plan.batch is not None:
        job.debug(f"sbatch {quote_words(plan.batch.options)}")

    def hand_over(at: Connection) -> str:
        if plan.batch is not None:
            schedule(
                at,
                handle,
                plan.batch,
                start.environment,
                scratch=_scratch_words(plan),
                together=together,
            )
        return launch(
            at,
            handle,
            start.tasks,
            start.environment,
            claimed=start.claimed,
            expected=start.expected,
            described=described,
        )

    return job.connection.retrying(hand_over)


@attrs.frozen(kw_only=True)
class JobStart:
    """What the host gets to launch a job."""

    tasks: tuple[TaskStart, ...]
    environment: Mapping[str, Secret]
    claimed: Claimed
    expected: Prerequisites


def plan_start(job: JobContext, plan: JobPlan, handle: JobHandle) -> JobStart:
    """Return what the host gets to launch a job."""
    starts = _task_starts(plan)
    for start in starts:
        job.debug(f"run {start.task}: {quote_words(start.argv)}")
    job.debug(f"run: logs in {handle.job_dir}")
    return JobStart(
        tasks=tuple(starts),
        environment=_supervisor_environment(plan),
        claimed=Claimed(
            lock=plan.lock,
            group=plan.group,
            engine=container_engine(plan),
            gpus=tuple(device.uuid for device in plan.devices),
        ),
        expected=_prerequisites(plan),
    )


def _prerequisites(plan: JobPlan) -> Prerequisites:
    paths = plan.paths
    built = [task.commands for task in plan.tasks]
    late = {path for task in plan.tasks for path in task.late.directories}
    directories = dict.fromkeys(path for each in built for path in each.directories)
    # A directory is copied before what is in it: an existing target is left as it is.
    copies = sorted(
        dict.fromkeys(copy for each in built for copy in each.copies), key=lambda at: at.target
    )
    return Prerequisites(
        directories=tuple(
            confine(path, paths) for path in directories if normalize(path) not in late
        ),
        copies=tuple(
            ConfinedCopy(
                source=confine(at.source, paths),
                target=confine(at.target, paths),
                may_be_missing=at.may_be_missing,
            )
            for at in copies
        ),
    )


def container_engine(plan: JobPlan) -> tuple[str, ...]:
    """Return the engine that can list containers; nothing if the platform has no containers."""
    first = plan.tasks[0]
    return first.commands.engine if first.container else ()


def _task_starts(plan: JobPlan) -> list[TaskStart]:
    return [_task_start(plan, task, earlier) for task, earlier in _with_earlier(plan)]


def _with_earlier(plan: JobPlan) -> Iterator[tuple[BuiltTask, Sequence[str]]]:
    """Yield each task with the directories that earlier tasks can write to."""
    earlier: tuple[str, ...] = ()
    for task in plan.tasks:
        yield task, earlier
        for each in (task.commands, *task.commands.alternatives.values()):
            earlier += tuple(source for source, _ in each.outputs)


def _task_start(plan: JobPlan, task: BuiltTask, earlier: Sequence[str]) -> TaskStart:
    def confined(paths: Iterable[str]) -> tuple[Confined, ...]:
        return tuple(confine(path, plan.paths, earlier) for path in paths)

    commands = task.commands
    argv, own = _container_words(plan, task, commands)
    alternatives = [
        (letters, quote_words(argv), quote_words(own), mount_words(confined(each.directories)))
        for letters, each in commands.alternatives.items()
        for argv, own in [_container_words(plan, task, each)]
    ]
    return TaskStart(
        task=task.name,
        argv=argv,
        engine=commands.engine,
        container=task.container,
        own=own,
        begin=begin_arguments(
            confined(task.late.directories),
            [(each.name, each.path) for each in task.late.files],
            [
                # Without a name, an input that does not exist counts as a file.
                ("" if each.name in plan.spec.request.allow_missing else each.name, each.path)
                for each in commands.late_inputs
            ],
            alternatives,
        ),
        mounts=confined(commands.directories),
        image=_image_file(plan, commands, earlier),
    )


def _scratch_words(plan: JobPlan) -> tuple[str, ...]:
    """Return the arguments of ``mlcr_write_scratch``; nothing if the tasks get no copies."""
    if plan.batch is None or not plan.batch.scratch:
        return ()
    words = [plan.batch.scratch]
    for task, earlier in _with_earlier(plan):
        copies = task.commands.scratch

        def areas(paths: Iterable[str], earlier: Sequence[str] = earlier) -> str:
            return mount_words(confine(path, plan.paths, earlier) for path in paths)

        mounted = [path for pair in copies.mounted for path in pair]
        words += [areas(copies.copied), quote_words(mounted), areas(copies.written)]
    return tuple(words)


def _image_file(plan: JobPlan, commands: TaskCommands, earlier: Sequence[str]) -> Confined | None:
    """Return the image of a task if it is a file that a task can replace."""
    if commands.platform in CONTAINER_ENGINES:
        return None
    image = confine(commands.image, plan.paths, earlier)
    return None if image.may_lead_anywhere else image


def _container_words(plan: JobPlan, task: BuiltTask, commands: TaskCommands) -> tuple[Argv, Argv]:
    """Return the container's command, and the arguments that change the owner of its outputs."""
    argv = insert_options(commands, task.launch, tuple(plan.env))
    return argv, chown_arguments(commands, root=plan.paths.root, uid=plan.uid, labels=task.labels)


def _supervisor_environment(plan: JobPlan) -> dict[str, Secret]:
    """Return the variables for the supervisor: secrets have the names that the engine expects."""
    platform, engine = plan.image.platform, plan.tasks[0].commands.engine
    public = {
        name: Secret(value)
        for task in plan.tasks
        for name, value in task.commands.environment.items()
    }
    secrets = {secret_variable(platform, engine, name): item for name, item in plan.env.items()}
    return {**public, **secrets}


def _write_files(files: Sequence[tuple[GeneratedFile, Confined]], connection: Connection) -> None:
    for file, path in files:
        text = file.text
        chunks = [text[at : at + _CHUNK] for at in range(0, len(text), _CHUNK)] or [""]
        for number, chunk in enumerate(chunks):
            mode = "append" if number else "replace"
            reply = connection.call("mlcr_write_input", *path.words, mode, chunk)
            if reply.code == status.LEADS_OUT:
                raise leads_out_error(connection.name, reply.message)
            if not reply.ok:
                raise HostError(
                    connection.name, f"{path.path} could not be written: {reply.message}"
                )
