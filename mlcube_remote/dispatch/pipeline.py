# SPDX-License-Identifier: Apache-2.0
"""One host's job, from connect to pull, on one connection at a time."""

from __future__ import annotations

from functools import partial

import attrs

from mlcube_remote.dispatch.claim import Claim, hold_claim, join_other_client
from mlcube_remote.dispatch.finish import RetryDecision, finish_job
from mlcube_remote.dispatch.monitor import JobMonitor, JobProgress, monitor_job
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.dispatch.stages import (
    JobContext,
    configure_stage,
    launch_job,
    make_handle,
    require_data_there,
    require_inputs_there,
    sync_stage,
)
from mlcube_remote.events.emitter import JobEvents
from mlcube_remote.events.model import Level
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.facts import gpus
from mlcube_remote.facts.gpu_leases import lease_gpus
from mlcube_remote.facts.probe import (
    HostFacts,
    clock_warning,
    logout_warning,
    probe_host,
    require_program,
    require_rsync,
)
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.plan import requirements as require
from mlcube_remote.plan.gpu_requests import Device
from mlcube_remote.plan.host_paths import cube_directory
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.plan.job_plan import make_plan
from mlcube_remote.transport.base import Connection


def run_job(
    job: JobSpec, run: RunContext, settle: RetryDecision = lambda _: None, *, may_run: bool = False
) -> JobOutcome:
    """Do a job and say how it ended; a failure of this host is an outcome, not an exception.

    Args:
        job: The job.
        run: The run that it belongs to.
        settle: Decides whether it is to be begun again.
        may_run: Whether an earlier client of the run may have begun it there.
    """
    events = JobEvents(host=job.host.name, job=job.own_name, began=run.began, sink=run.sink)
    return finish_job(
        lambda progress: _connect_and_work(job, run, events, progress),
        job=(job.request.run_id, job.id),
        parameters=job.point,
        settle=settle,
        may_run=may_run,
        platform=job.platform,
        tasks=() if job.request.configure_only else job.request.tasks,
        run=run,
        events=events,
        attempt=job.attempt,
    )


def _connect_and_work(
    job: JobSpec, run: RunContext, events: JobEvents, progress: JobProgress
) -> None:
    run.check()
    with run.line(job.host, events) as line:
        line.connection.expect_channel()
        with run.on_interrupt(job.name, stop=line.close, leave=line.close):
            facts = line.steadily(partial(_probe, job))
        events.note(
            Level.DEBUG,
            f"connect: {facts.user} in {facts.root}, {facts.machine}, rsync {facts.rsync or '-'}",
        )
        if warning := clock_warning(facts):
            events.note(Level.WARNING, warning)
        context = JobContext(
            plan=make_plan(job, facts),
            run=run,
            events=events,
            line=line,
            facts=facts,
            progress=progress,
        )
        if job.trial is not None:
            _work(context)
            return
        with run.exclusive_root(facts.root_id, events):
            _work(context)


def _probe(job: JobSpec, connection: Connection) -> HostFacts:
    room = "" if job.host.is_local else cube_directory(job.request.cube)
    facts = probe_host(
        connection,
        remote_root=job.host.remote_root,
        cube_room=room,
        paths=make_plan(job).probe_paths,
    )
    if not job.host.is_local:
        require_rsync(connection, facts)
    return facts


def _work(context: JobContext) -> None:
    plan = context.plan
    require_program(context.line.connection, context.facts, plan.image)
    require.check_recipe_on_host(plan)
    with context.run.on_interrupt(
        plan.spec.name, stop=context.line.close, leave=context.line.close
    ):
        if plan.spec.request.configure_only:
            # An image needs no inputs: they may come later.
            _make_ready(context)
            return
        handle = make_handle(plan)
        with hold_claim(context, handle) as held:
            context.progress.may_run = False
            if held is not Claim.ANOTHERS:
                _begin(context, handle, held)
            else:
                join_other_client(context, handle)
                context.remember(handle)
    if context.run.detach:
        context.progress.detached = True
        return
    _watch(context, handle)


def _begin(context: JobContext, handle: JobHandle, held: Claim) -> None:
    """Make ready what a claimed job needs, and launch it."""
    require_data_there(context)
    context.remember(handle)
    context = _with_devices(context, handle)
    with context.run.mirror(context.facts.root_id) as mirror:
        if context.plan.spec.host.name not in mirror.ready_on or held is not Claim.SHARED:
            if warning := logout_warning(context.facts, context.plan.image):
                context.events.note(Level.WARNING, warning)
            _make_ready(context)
        else:
            require_inputs_there(context)
        mirror.ready_on.add(context.plan.spec.host.name)
    launch_job(context, handle)


def _with_devices(context: JobContext, handle: JobHandle) -> JobContext:
    """Lease the GPUs that the job asks for."""
    plan = context.plan
    if not plan.gpus:
        return context

    def wait(reason: str) -> None:
        context.run.check()
        context.events.note(Level.INFO, f"waiting: {reason}")

    devices = context.line.steadily(
        lambda at: lease_gpus(
            at,
            handle.job_dir,
            plan.gpus,
            engine=_engine(handle),
            only=plan.spec.host.gpus or (),
            wait=wait if context.waits else None,
        )
    )
    if not devices:
        return context
    context.line.after.append(partial(_lease_again, context, handle, devices))
    numbers = ", ".join(device.index for device in devices)
    context.events.note(Level.INFO, f"GPU{'s' if len(devices) > 1 else ''} {numbers} for this job")
    return attrs.evolve(context, plan=make_plan(plan.spec, context.facts, devices))


def _lease_again(
    context: JobContext, handle: JobHandle, devices: tuple[Device, ...], connection: Connection
) -> None:
    """Make sure that a job which was cut off before its launch still has its GPUs."""
    if not context.progress.launched:
        names = [device.uuid for device in devices]
        lease_gpus(connection, handle.job_dir, len(devices), engine=_engine(handle), only=names)


def _engine(handle: JobHandle) -> tuple[str, ...]:
    """Return the command of the engine that has the job's containers; nothing where none has."""
    first = handle.tasks[0]
    return first.engine if first.container else ()


def _make_ready(context: JobContext) -> None:
    plan = context.plan
    built = [task.commands for task in plan.tasks]
    for warning in dict.fromkeys(text for each in (plan.image, *built) for text in each.warnings):
        context.events.note(Level.WARNING, warning)
    asked = plan.spec.request.options.gpus
    if without := gpus.missing_gpu_warning(context.line.connection, built, asked):
        context.events.note(Level.WARNING, without)
    image = sync_stage(context)
    context.run.check()
    if plan.tasks:
        # An image may take long to build.
        require_inputs_there(context)
    configure_stage(context, image)
    context.run.check()


def _watch(context: JobContext, handle: JobHandle) -> None:
    monitor_job(
        JobMonitor(
            handle=handle,
            run=context.run,
            events=context.events,
            line=context.line,
            progress=context.progress,
        )
    )
