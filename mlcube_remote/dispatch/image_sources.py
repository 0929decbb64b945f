# SPDX-License-Identifier: Apache-2.0
"""The images that the hosts of a run get from another host: each is prepared and saved once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import attrs

from mlcube_remote.dispatch.context import JobContext, connect
from mlcube_remote.dispatch.saved_images import SavedImage
from mlcube_remote.dispatch.shared_images import ImageSource
from mlcube_remote.dispatch.stages import (
    configure_image,
    probe,
    upload_and_find_image,
    warn_about_commands,
)
from mlcube_remote.errors import ConfigureError, MLCubeRemoteError, StoppedByUserError
from mlcube_remote.events.emitter import JobEvents
from mlcube_remote.events.model import (
    ConnectionLost,
    ConnectionRestored,
    Event,
    Level,
    Note,
    Output,
    Stage,
    StageProgress,
)
from mlcube_remote.facts.images import Image
from mlcube_remote.facts.probe import require_program
from mlcube_remote.files.build_sources import digest_build_sources
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.plan.job_plan import make_plan
from mlcube_remote.plan.requirements import check_recipe_on_host
from mlcube_remote.plan.shipping import source_job
from mlcube_remote.platforms import CONTAINER_ENGINES

_POLL_INTERVAL_S = 0.2
"""Interval for checking whether the run ends while a job waits for the image."""


def image_of(job: JobContext, spec: JobSpec, host: Host) -> SavedImage:
    """Return the image of a source; the first job that asks lets the host pull or build it.

    Args:
        job: The job that needs the image; it shows what the source does.
        spec: What is run.
        host: The source.

    Raises:
        ConfigureError: The source has no image.
        StoppedByUserError: The run has ended.
    """
    source = job.run.images.of(host)
    with turn(source.turn, job):
        if source.image is None and source.problem is None:
            try:
                source.image = job.run.images.opened.enter_context(_prepare(job, spec, host))
            except StoppedByUserError:
                raise
            except MLCubeRemoteError as problem:
                source.problem = problem
        if source.image is None:
            raise _no_image(job.host, source)
        return source.image


@contextmanager
def turn(lock: threading.Lock | threading.BoundedSemaphore, job: JobContext) -> Iterator[None]:
    """Hold what the jobs of a run share, unless the run ends before.

    Raises:
        StoppedByUserError: The run has ended.
    """
    while not lock.acquire(timeout=_POLL_INTERVAL_S):
        job.run.interrupts.check()
    try:
        job.run.interrupts.check()
        yield
    finally:
        lock.release()


def _no_image(host: str, source: ImageSource) -> MLCubeRemoteError:
    """Return the error of a job whose source has no image; the source's own job shows it fully."""
    problem = source.problem
    if problem is None or source.host.name == host:
        return problem or ConfigureError(host, "no image")
    brief = problem.brief() if isinstance(problem, ConfigureError) else problem
    return ConfigureError(host, f"no image from {brief}", hint=problem.hint)


@contextmanager
def _prepare(job: JobContext, spec: JobSpec, host: Host) -> Iterator[SavedImage]:
    """Let a host pull or build the image, and keep the connection to it."""
    wanted = source_job(spec, host)
    events = _shown_by(job, host.name)
    with ExitStack() as stack:
        source = stack.enter_context(connect(host, f"image of {host.name}", job.run, events))
        with source.interruptible():
            facts = probe(source, wanted)
            plan = make_plan(wanted, facts)
            require_program(source.connection.current, facts, plan.image)
            check_recipe_on_host(plan)
            warn_about_commands(source, plan)
            digest = digest_build_sources(plan, source.run.names)
            image = upload_and_find_image(source, plan)
            again = spec.request.configure_only
            image = configure_image(source, plan, facts, image, digest, again=again)
        if plan.image.platform not in CONTAINER_ENGINES:
            # A SIF file does not say what it was built for; it was built there.
            image = attrs.evolve(image, architecture=image.architecture or facts.architecture)
        saved = SavedImage(job=source, plan=plan, image=image)
        stack.callback(saved.close)
        yield saved


def _shown_by(job: JobContext, source: str) -> JobEvents:
    """Return the events of a source: a display shows them as those of the job that waits for it."""
    if source == job.host:
        return job.events

    def pass_on(event: Event) -> None:
        if isinstance(event, Note):
            job.events.note(event.level, f"{source}: {event.text}")
        elif isinstance(event, Output):
            job.run.sink(attrs.evolve(event, host=job.events.host, job=job.events.job))
        elif isinstance(event, ConnectionLost):
            job.events.note(Level.WARNING, f"{source}: {event.reason}; reconnecting")
        elif isinstance(event, ConnectionRestored):
            job.events.note(Level.INFO, f"{source}: connected again after {event.seconds:.0f} s")
        elif isinstance(event, StageProgress):
            job.events.progress(Stage.CONFIGURE, f"{source}: {event.detail}", event.fraction)

    job.events.note(
        Level.INFO, f"the image comes from {source}; if it is built there, the output is here"
    )
    return JobEvents(host=source, began=job.run.began, sink=pass_on)


def is_same(source: SavedImage, image: Image) -> bool:
    """Return whether an image on another host is the source's, by its digest."""
    theirs, mine = source.image.identity, image.identity
    if not image.present:
        return False
    return bool(theirs.id and theirs.id == mine.id) or bool(
        theirs.sha256 and theirs.sha256 == mine.sha256
    )
