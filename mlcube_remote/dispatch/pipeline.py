# SPDX-License-Identifier: Apache-2.0
"""One job from connect to pull: the stages in their order."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from mlcube_remote.dispatch.claim import Claim, hold_claim, join_other_client
from mlcube_remote.dispatch.context import JobContext, connect
from mlcube_remote.dispatch.finish import JobIdentity, JobProgress, Phase, finishing
from mlcube_remote.dispatch.inputs import require_data_on_host, require_mirrored_inputs
from mlcube_remote.dispatch.launch import launch_job, write_generated_files
from mlcube_remote.dispatch.monitor import FollowOptions, monitor_job
from mlcube_remote.dispatch.provenance import require_recorded_sources
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.dispatch.stages import (
    configure_image,
    lease_devices,
    make_handle,
    probe,
    upload_and_find_image,
    warn_about_commands,
)
from mlcube_remote.dispatch.unchanged import (
    Known,
    look_at_sent,
    recall,
    remember,
    start_as_before,
)
from mlcube_remote.errors import HostError, StateUnknownError, StoppedByUserError
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.facts.images import Image
from mlcube_remote.facts.probe import HostFacts, logout_warning, require_program
from mlcube_remote.files.build_sources import digest_build_sources
from mlcube_remote.files.sent_state import SentState
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.launch import ClaimLostError
from mlcube_remote.jobs.records import record_planned
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.plan.job_plan import JobPlan, make_plan
from mlcube_remote.plan.requirements import check_recipe_on_host
from mlcube_remote.plan.shipping import receives_image

if TYPE_CHECKING:
    from mlcube_remote.dispatch.packs import Pack


def run_job(
    spec: JobSpec, run: RunContext, *, may_run: bool = False, pack: Pack | None = None
) -> JobOutcome:
    """Run a job on its host; a failure is part of the outcome, not an exception.

    Args:
        spec: The job.
        run: The run that it belongs to.
        may_run: Whether an earlier client may have launched it on this host.
        pack: The jobs with which it shares a batch job; ``None``: it shares none.
    """
    phase = Phase.MAY_RUN if may_run else Phase.NOT_LAUNCHED
    with finishing(_identity(spec), run, phase=phase) as progress:
        _run_stages(spec, run, progress, pack)
    return progress.outcome


def _identity(spec: JobSpec) -> JobIdentity:
    return JobIdentity(
        run_id=spec.request.run_id,
        job_id=spec.id,
        host=spec.host.name,
        job=spec.own_name,
        attempt=spec.attempt,
        parameters=spec.point,
        platform=spec.platform,
        tasks=() if spec.request.configure_only else spec.request.tasks,
    )


def _run_stages(spec: JobSpec, run: RunContext, progress: JobProgress, pack: Pack | None) -> None:
    # The files of the cube are looked at while the host is connected to.
    known = recall(run, spec)
    with connect(spec.host, spec.name, run, progress.events) as job:
        facts = None
        if known is not None:
            with _exclusive_root(job, spec, known.facts):
                handle = make_handle(known.plan)
                with job.interruptible():
                    is_started, facts = _start_as_before(job, known, handle, progress)
                if is_started:
                    _follow(job, handle, progress, Claim.OURS)
                    return
        _run_each_stage(job, spec, facts, progress, pack)


def _run_each_stage(
    job: JobContext,
    spec: JobSpec,
    facts: HostFacts | None,
    progress: JobProgress,
    pack: Pack | None,
) -> None:
    """Run a job one stage after the other.

    Args:
        job: The job.
        spec: Its spec.
        facts: What the host has just said; ``None``: it is asked.
        progress: How far the job has come.
        pack: As for :func:`run_job`.
    """
    with job.interruptible():
        if facts is None:
            facts = probe(job, spec)
        progress.origin.probed(facts)
    with _exclusive_root(job, spec, facts):
        plan = make_plan(spec, facts)
        require_program(job.connection.current, facts, plan.image)
        if not receives_image(spec):
            check_recipe_on_host(plan)
        if spec.request.configure_only:
            with job.interruptible():
                _prepare(job, plan, facts)
            return
        handle = make_handle(plan)
        with job.interruptible():
            while (claim := _start(job, plan, facts, handle, progress, pack)) is None:
                job.warn("another run has used the workspace meanwhile: preparing it again")
        _follow(job, handle, progress, claim)


def _follow(job: JobContext, handle: JobHandle, progress: JobProgress, claim: Claim) -> None:
    if job.run.detach:
        progress.phase = Phase.DETACHED
    else:
        # Another client may have launched the job long ago.
        how = FollowOptions(catches_up=claim is Claim.OTHER_CLIENT)
        monitor_job(job, handle, progress, how)


def _start_as_before(
    job: JobContext, known: Known, handle: JobHandle, progress: JobProgress
) -> tuple[bool, HostFacts | None]:
    """Start the job in one call if nothing has changed; return whether, and what the host is."""
    _record(job, known.plan.spec, handle, progress)
    # Until the host has answered, the job may run, and holds its claim itself.
    progress.phase = Phase.LAUNCHED
    job.connection.attach_hint = f"mlcube-remote attach {handle.run_id}"
    answer = start_as_before(job, known, handle)
    if answer is None:
        # The connection broke, and there is a new one. The claim will tell.
        progress.phase = Phase.MAY_RUN
        return False, None
    if answer.changed:
        progress.phase = Phase.NOT_LAUNCHED
        job.connection.attach_hint = None
        return False, answer.facts
    progress.origin.probed(answer.facts or known.facts)
    progress.origin.image, progress.origin.plan = known.image, known.plan
    return True, answer.facts


def _start(
    job: JobContext,
    plan: JobPlan,
    facts: HostFacts,
    handle: JobHandle,
    progress: JobProgress,
    pack: Pack | None,
) -> Claim | None:
    """Claim, prepare and launch the job; return ``None`` if another run took the workspace."""
    spec = plan.spec
    try:
        with hold_claim(job, plan, handle, progress) as claim:
            progress.phase = Phase.NOT_LAUNCHED
            if claim is Claim.OTHER_CLIENT:
                if pack is not None:
                    pack.leave(spec.name)
                join_other_client(job, handle)
                progress.phase = Phase.LAUNCHED
                _record(job, spec, handle, progress)
                return claim
            require_data_on_host(plan)
            _record(job, spec, handle, progress)
            if devices := lease_devices(job, plan, handle):
                plan = make_plan(spec, facts, devices)
            sent = look_at_sent(job, plan, facts)
            progress.origin.image = _prepare_mirror(job, plan, facts, claim)
            progress.origin.plan = plan
            require_recorded_sources(job, spec.name, progress.origin)
            described = _launch(job, plan, handle, progress, pack, sent)
            if sent is not None:
                remember(plan, facts, progress.origin.image, sent, described)
    except ClaimLostError:
        job.reconnect.forget_claim()
        job.connection.attach_hint = None
        with job.run.roots.mirror(facts.root_id) as mirror:
            mirror.ready_on.pop(job.host, None)
        return None
    return claim


def _exclusive_root(
    job: JobContext, spec: JobSpec, facts: HostFacts
) -> AbstractContextManager[None]:
    """Let hosts that share a ``remote_root`` run their jobs one after the other.

    Jobs of a sweep have directories of their own.
    """
    if spec.trial is not None:
        return nullcontext()
    return job.run.roots.exclusive(facts.root_id, job.host, job.warn)


def _record(job: JobContext, spec: JobSpec, handle: JobHandle, progress: JobProgress) -> None:
    """Record the handle on this machine, so that the job can be found again."""
    progress.handle = handle
    if job.run.store is not None:
        record_planned(job.run.store, handle, spec.attempt)


def _prepare_mirror(job: JobContext, plan: JobPlan, facts: HostFacts, claim: Claim) -> Image:
    """Prepare the host, unless an earlier job of the run has, and nothing has changed since.

    Returns:
        The image that the host has.
    """
    with job.run.roots.mirror(facts.root_id) as mirror:
        image = mirror.ready_on.get(job.host)
        if image is not None and claim is Claim.OURS_UNCHANGED:
            require_mirrored_inputs(job, plan)
            return image
        if warning := logout_warning(facts, plan.image):
            job.warn(warning)
        mirror.ready_on[job.host] = image = _prepare(job, plan, facts)
        return image


def _prepare(job: JobContext, plan: JobPlan, facts: HostFacts) -> Image:
    """Upload the cube and its data, bring the image to the host, and return it."""
    warn_about_commands(job, plan)
    source, sources = plan.spec.image_source, ""
    if source is None:
        # If a file is edited after this, the image seems to be of another version, never of this.
        sources = digest_build_sources(plan, job.run.names)
    image = upload_and_find_image(job, plan)
    job.run.interrupts.check()
    if plan.tasks:
        # Before the image, which may take long to build.
        require_mirrored_inputs(job, plan)
    if source is None:
        again = plan.spec.request.configure_only
        image = configure_image(job, plan, facts, image, sources, again=again)
    else:
        from mlcube_remote.dispatch.ship import ship_image  # noqa: PLC0415 - few runs need it

        image = ship_image(job, plan, facts, image, source)
    job.run.interrupts.check()
    return image


def _launch(
    job: JobContext,
    plan: JobPlan,
    handle: JobHandle,
    progress: JobProgress,
    pack: Pack | None,
    sent: SentState | None,
) -> str:
    """Launch the job; return how the host describes the mirror of what was sent."""
    write_generated_files(job, plan)
    # Until the host has answered, the job may run, and holds its claim itself.
    progress.phase = Phase.LAUNCHED
    job.reconnect.forget_claim()
    job.connection.attach_hint = f"mlcube-remote attach {handle.run_id}"
    try:
        words = () if sent is None else sent.words
        described = launch_job(job, plan, handle, words, together=pack is not None)
        if pack is not None:
            pack.arrive(job, plan, handle)
    except (HostError, StoppedByUserError) as problem:
        if not isinstance(problem, StateUnknownError):
            progress.phase = Phase.NOT_LAUNCHED
        raise
    return described
