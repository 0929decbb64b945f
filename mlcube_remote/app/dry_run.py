# SPDX-License-Identifier: Apache-2.0
"""``--dry-run``: plan the commands of every host and task, without a login."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence

import attrs

from mlcube_remote.commands.model import Argv, ImageCommands
from mlcube_remote.errors import PlanError
from mlcube_remote.files.build_context import context_trees
from mlcube_remote.files.complete_inputs import check_complete, follow_links
from mlcube_remote.files.transfer import upload_size
from mlcube_remote.files.upload import UploadTree, data_trees, mirror_trees
from mlcube_remote.plan import requirements as require
from mlcube_remote.plan.assignment import make_jobs
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.job_plan import JobPlan, plan_placed
from mlcube_remote.plan.placed_job import PlacedJob, place_job
from mlcube_remote.plan.plan import check_jobs
from mlcube_remote.plan.planned_task import PlannedTask
from mlcube_remote.plan.shipping import receives_image, source_job
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.transport.quoting import quote_words


def dry_run(request: RunRequest) -> tuple[tuple[PlannedTask, ...], dict[str, tuple[str, ...]]]:
    """Plan a request, and return the commands that it would run.

    Returns:
        One entry per host and task, in order (one per host if only images are prepared), and notes
        per host: uploads, warnings, and the reason why a run would refuse the request.

    Raises:
        PlanError: Something does not fit together, or an input on this machine is missing: then
            neither the upload nor the input's type is known.
        CubeError: mlcube.yaml asks for something that cannot be done.
    """
    planned: list[PlannedTask] = []
    notes: dict[str, tuple[str, ...]] = {}
    transfers = _Transfers()
    jobs = make_jobs(request)
    placed = [place_job(job) for job in jobs]
    if not request.configure_only:
        for job in placed:
            require.check_inputs(job, only_sent=True)
    refusal = _refusal(request, placed)
    if not (refusal or request.configure_only):
        refusal = _incomplete(placed)
    for job in placed:
        plan = plan_placed(job, None)
        mine = [_planned_image(plan)] if request.configure_only else _planned_tasks(plan)
        planned += mine
        tasks = () if request.configure_only else plan.tasks
        built = (plan.image, *(task.commands for task in tasks))
        warnings = dict.fromkeys(warning for each in built for warning in each.warnings)
        empty = () if request.configure_only else require.find_empty_inputs(job, {})
        notes_of_plan = (*_assumptions(plan), *_submission(plan), *_shipping(plan))
        shown = (*notes_of_plan, *warnings, *empty, *refusal)
        notes[plan.spec.label] = (*transfers.of(plan), *shown)
    return tuple(planned), notes


def _planned_image(plan: JobPlan) -> PlannedTask:
    spec = plan.spec
    return PlannedTask(
        host=spec.host.name,
        platform=spec.platform,
        task=None,
        configure=_configure(plan, plan.image),
    )


def _planned_tasks(plan: JobPlan) -> list[PlannedTask]:
    return [
        PlannedTask(
            host=plan.spec.host.name,
            job=plan.spec.own_name,
            platform=plan.spec.platform,
            task=task.name,
            configure=_configure(plan, task.commands),
            run=task.commands.run,
            creates=task.commands.creates,
            launch=task.launch,
        )
        for task in plan.tasks
    ]


def _refusal(request: RunRequest, jobs: Sequence[PlacedJob]) -> tuple[str, ...]:
    try:
        check_jobs(request, jobs)
    except PlanError as problem:
        return (f"would be refused: {problem}",)
    return ()


def _incomplete(jobs: Iterable[PlacedJob]) -> tuple[str, ...]:
    try:
        return check_complete(jobs)
    except PlanError as problem:
        return (f"would be refused: {problem}",)


def _submission(plan: JobPlan) -> tuple[str, ...]:
    """Return what Slurm gets, if it starts the job."""
    if plan.batch is None or plan.spec.request.configure_only:
        return ()
    notes = [f"submitted with: sbatch {quote_words(plan.batch.options)}"]
    if plan.batch.setup:
        notes.append(f"before the tasks, on the compute node: {plan.batch.setup.strip()}")
    notes += [
        f"task {task.name}: the compute node copies {directory} to {plan.batch.scratch}"
        + (
            ", and copies back what the task changes"
            if directory in task.commands.scratch.written
            else ""
        )
        for task in plan.tasks
        for directory in task.commands.scratch.copied
    ]
    return tuple(notes)


def _shipping(plan: JobPlan) -> tuple[str, ...]:
    """Return where the image comes from, if another host prepares it."""
    source = plan.spec.image_source
    if source is None:
        return ()
    if not receives_image(plan.spec):
        return ("the image is sent from here to other hosts",)
    theirs = plan_placed(place_job(source_job(plan.spec, source)), None).image
    return (
        f"the image is sent from {source.name}, unless the host has it; only what it lacks is sent",
        *(
            f"on {source.name}, if the image is missing there: {quote_words(argv)}"
            for argv in theirs.configure
        ),
    )


def _configure(plan: JobPlan, image: ImageCommands) -> tuple[Argv, ...]:
    if receives_image(plan.spec):
        return ()
    return tuple((*plan.image.builder, *argv) for argv in image.configure)


def _assumptions(plan: JobPlan) -> tuple[str, ...]:
    """Return notes on what the plan assumes, and only the host can confirm."""
    inputs = {} if plan.spec.request.configure_only else plan.assumed_kinds
    words = {"d": "directory", "f": "file"}
    notes = [
        f"{path} is assumed to be a {words[kind]}; a run asks the host"
        for path, kind in inputs.items()
    ]
    notes += [
        f"task {task}: whether {item.parameter.name} is a file or a directory is decided when the "
        f"task begins, after {item.made_by}; shown: a {item.parameter.type.value}"
        for task, item in plan.task_parameters()
        if item.parameter.decided_at_start and not plan.spec.request.configure_only
    ]
    if plan.host_recipe:
        instead = "pulled" if plan.spec.platform in CONTAINER_ENGINES else "not built"
        notes.append(
            f"the image is assumed to be built from {plan.host_recipe}; if the host does not have "
            f"that file, the image is {instead}"
        )
    return tuple(notes)


@attrs.define
class _Transfers:
    """What would be sent; the jobs of one host share a mirror, and its size is found once."""

    _mirrors: dict[str, tuple[str, ...]] = attrs.field(factory=dict, init=False)
    """Host → notes."""
    _data: dict[UploadTree, str] = attrs.field(factory=dict, init=False)

    def of(self, plan: JobPlan) -> tuple[str, ...]:
        """Return a note for each directory that would be sent for a job."""
        host = plan.spec.host
        if host.is_local:
            return ()
        if host.name not in self._mirrors:
            trees = (*map(_followed(plan), mirror_trees(plan)), *context_trees(plan.context))
            self._mirrors[host.name] = tuple(map(_transfer, trees))
        data = data_trees(plan)
        for tree in data:
            if tree not in self._data:
                self._data[tree] = _transfer(_followed(plan)(tree))
        return (*self._mirrors[host.name], *(self._data[tree] for tree in data))


def _followed(plan: JobPlan) -> Callable[[UploadTree], UploadTree]:
    """Return what replaces the links of a tree by what is sent for them."""

    def follow(tree: UploadTree) -> UploadTree:
        # If a link is refused, the notes say why.
        with contextlib.suppress(PlanError):
            return follow_links(tree)
        return tree

    return follow if plan.spec.copies_links else lambda tree: tree


def _transfer(tree: UploadTree) -> str:
    return f"sync {tree.local} to {tree.remote} (at most {upload_size(tree)})"
