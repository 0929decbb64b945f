# SPDX-License-Identifier: Apache-2.0
"""Start a job in one call if nothing has changed since an earlier run; see docs/explanation.

A run remembers what its host, its image and its mirror were, and what it has sent. The next one
sends all of that to the host, which compares, claims the job and launches it. If anything differs,
nothing is started, and the job goes through each stage.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable
from functools import partial

import attrs

from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.dispatch.inputs import require_data_on_host
from mlcube_remote.dispatch.launch import plan_start
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.dispatch.stages import mirror_lock, show_facts, warn_about_commands
from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.events.model import Stage
from mlcube_remote.facts.engine_kind import docker_question
from mlcube_remote.facts.gpus import passes_gpus
from mlcube_remote.facts.images import Image, parse_image
from mlcube_remote.facts.limits import has_limits
from mlcube_remote.facts.probe import HostFacts, logout_warning, recall_facts
from mlcube_remote.files.background import begin
from mlcube_remote.files.rsync import TransferStats, check_remote_version
from mlcube_remote.files.sent_state import SentState, check_mirror, read_sent_state
from mlcube_remote.files.upload import job_trees
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.launch import claim_words, launch_words
from mlcube_remote.jobs.unchanged import StartAnswer, UnchangedStart, start_unchanged
from mlcube_remote.plan.host_paths import cube_directory
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.plan.job_plan import JobPlan, make_plan
from mlcube_remote.plan.placement import DataLocation
from mlcube_remote.plan.requirements import check_recipe_on_host
from mlcube_remote.plan.uses import use_words
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.runs.sent_mirrors import SentMirror, SentMirrors
from mlcube_remote.transport.base import Connection


@attrs.frozen(kw_only=True)
class Known:
    """What an earlier run has left behind, and the plan of this job if nothing has changed."""

    remembered: SentMirror
    facts: HostFacts
    image: Image
    plan: JobPlan
    listed: Callable[[], object]
    """Waits until what would be sent is listed, which began with :func:`recall`."""


def recall(run: RunContext, spec: JobSpec) -> Known | None:
    """Return what is known about the host and its mirror; ``None``: each stage is necessary.

    A thread begins to list what would be sent.
    """
    if not _may_be_fast(run, spec):
        return None
    remembered = SentMirrors().read(_key(spec))
    if remembered is None:
        return None
    try:
        facts = recall_facts(spec.host.name, remembered.host)
        check_remote_version(spec.host.name, facts.rsync)
        plan = make_plan(spec, facts)
        check_recipe_on_host(plan)
        require_data_on_host(plan)
    except MLCubeRemoteError:
        return None  # the usual way reports it, if it is still so
    if not _needs_no_question(plan):
        return None
    image = parse_image(remembered.image)
    listed = begin(partial(_look, run, plan), "mlcr-look")
    return Known(remembered=remembered, facts=facts, image=image, plan=plan, listed=listed)


def _may_be_fast(run: RunContext, spec: JobSpec) -> bool:
    return (
        run.is_fast
        # A run that repeats another one compares what it is made from before the launch.
        and run.expected is None
        and spec.trial is None
        and spec.image_source is None
        and not spec.host.is_local
        and not spec.request.configure_only
        and not spec.copies_links
        and spec.platform in CONTAINER_ENGINES
    )


def _needs_no_question(plan: JobPlan) -> bool:
    """Return whether the host need not be asked anything more to prepare the job."""
    commands = [task.commands for task in plan.tasks]
    return (
        plan.batch is None
        and plan.context is None
        and plan.gpus == 0
        and not plan.image.before_each_run
        and not passes_gpus(commands)
        and not has_limits(commands)
        and not any(each.copies for each in commands)
        and all(
            item.local is None or item.local.exists()
            for _, item in plan.task_parameters()
            if item.where is DataLocation.WORKSPACE and not (item.is_output or item.made_by)
        )
    )


def _key(spec: JobSpec) -> tuple[str, ...]:
    """Return what names the mirror, and all that the user wrote about its host."""
    entry = attrs.evolve(spec.host, source=None, env={})
    cube = spec.request.cube
    return (
        spec.host.name,
        hashlib.sha256(repr(entry).encode("utf-8", "surrogatepass")).hexdigest(),
        os.path.realpath(cube.root),
        str(cube.workspace),
        spec.platform,
        *spec.request.tasks,
    )


def start_as_before(job: JobContext, known: Known, handle: JobHandle) -> StartAnswer | None:
    """Start the job in one call, unless something has changed.

    Returns:
        The host's answer; ``None`` if the connection broke and there is a new one, so that the job
        may run.

    Raises:
        StateUnknownError: The host gave no answer.
    """
    with mirror_lock(job, known.plan):
        known.listed()
        # The login may have taken long, for instance if the user was asked for a password.
        sent = _look(job.run, known.plan)
        if sent is None or sent.digest != known.remembered.sent:
            return StartAnswer(changed="cube")
        job.connection.current.expect_channel()
        start = _describe(job, known, handle, sent)
        is_asked = False

        def ask_once(at: Connection) -> StartAnswer | None:
            nonlocal is_asked
            if is_asked:
                return None
            is_asked = True
            return start_unchanged(at, start)

        answer = job.connection.retrying(ask_once)
    if answer is not None and answer.facts is not None:
        show_facts(job, answer.facts)
    if answer is not None:
        job.debug(f"start: {answer.changed or 'nothing'} has changed since an earlier run")
        if not answer.changed:
            _report_stages(job, known)
    return answer


def _describe(job: JobContext, known: Known, handle: JobHandle, sent: SentState) -> UnchangedStart:
    plan = known.plan
    start = plan_start(job, plan, handle)
    launch = launch_words(handle, start.tasks, start.environment, start.claimed, start.expected)
    return UnchangedStart(
        run_id=handle.run_id,
        known=known.remembered,
        probe=(
            plan.spec.host.remote_root,
            cube_directory(plan.spec.request.cube),
            *make_plan(plan.spec).probe_paths,
        ),
        question=docker_question(plan.image, [task.commands for task in plan.tasks]),
        image=plan.image,
        mirror=sent.words,
        claim=claim_words(handle, plan.lock, plan.group, use_words(plan)),
        launch=launch,
        env=start.environment,
    )


def _report_stages(job: JobContext, known: Known) -> None:
    """Report the stages that the host has found done."""
    if warning := logout_warning(known.facts, known.plan.image):
        job.warn(warning)
    warn_about_commands(job, known.plan)
    with job.events.stage(Stage.SYNC) as notes:
        notes.detail = str(TransferStats(0, 0))
    with job.events.stage(Stage.CONFIGURE) as notes:
        notes.skipped, notes.detail = True, "image present"


def look_at_sent(job: JobContext, plan: JobPlan, facts: HostFacts) -> SentState | None:
    """Return the state of what will be sent, if the next run can use it."""
    is_useful = facts.lasting and _may_be_fast(job.run, plan.spec) and _needs_no_question(plan)
    return _look(job.run, plan) if is_useful else None


def _look(run: RunContext, plan: JobPlan) -> SentState | None:
    outputs = _output_paths(plan)
    try:
        return read_sent_state(job_trees(plan), plan.paths.workspace, outputs, names=run.names)
    except MLCubeRemoteError:
        return None  # the upload reports it


def _output_paths(plan: JobPlan) -> list[str]:
    return [
        posixpath.normpath(posixpath.join(folder.remote, item.path))
        for folder in plan.folders
        for item in folder.outputs
    ]


def remember(
    plan: JobPlan, facts: HostFacts, image: Image, sent: SentState, described: str
) -> None:
    """Remember the mirror for the next run.

    Args:
        plan: The plan of the job.
        facts: What the host is.
        image: The image that it has.
        sent: What was sent, as it was before the upload.
        described: What ``mlcr_describe_mirror`` has printed after the upload.
    """
    # What deserves a warning at each run goes through each stage.
    is_usual = image.architecture in {"", facts.architecture} and not image.is_other
    mirror = (
        check_mirror(sent, described) if is_usual and image.answer and sent.is_settled else None
    )
    if mirror is None:
        SentMirrors().forget(_key(plan.spec))
        return
    SentMirrors().write(
        _key(plan.spec),
        SentMirror(host=facts.lasting, image=image.answer, sent=sent.digest, mirror=mirror),
    )
