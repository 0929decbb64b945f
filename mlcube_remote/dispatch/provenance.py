# SPDX-License-Identifier: Apache-2.0
"""From what the stages of a job have seen, to the record of where its results come from."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from mlcube_remote.commands.launch_options import insert_options
from mlcube_remote.cube.host_paths import host_path
from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.errors import PlanError
from mlcube_remote.events.provenance import (
    CubeOrigin,
    InputOrigin,
    Provenance,
    TaskOrigin,
    Tree,
)
from mlcube_remote.events.provenance_document import provenance_document
from mlcube_remote.facts.images import Image
from mlcube_remote.facts.probe import HostFacts
from mlcube_remote.files.sources import Sources
from mlcube_remote.plan.job_plan import BuiltTask, JobPlan
from mlcube_remote.plan.placement import PlacedParameter

if TYPE_CHECKING:
    from mlcube_remote.plan.sweep_targets import GeneratedFile

NO_IMAGE = Image(present=False)


@attrs.define
class Origin:
    """What the stages of one job have seen; complete once the job is launched."""

    facts: HostFacts | None = None
    client_time: float = 0.0
    """When the host answered, by this machine's clock."""
    image: Image = NO_IMAGE
    plan: JobPlan | None = None
    """As it was launched; ``None``: this client did not launch the job."""

    def probed(self, facts: HostFacts) -> None:
        """Note what the host is."""
        self.facts, self.client_time = facts, time.time()


def describe_origin(origin: Origin, read: Callable[[], Sources] | None) -> Provenance | None:
    """Return the record of a job's origin; ``None`` if this client did not launch it.

    Args:
        origin: What was seen.
        read: Returns what the run is made from, and may wait for it; ``None``: not known.
    """
    plan, facts = origin.plan, origin.facts
    if plan is None or facts is None:
        return None
    sources = Sources(cube=CubeOrigin(problem="not read")) if read is None else read()
    return Provenance(
        client_time=origin.client_time,
        host_time=facts.now,
        machine=facts.details,
        command=plan.spec.request.command,
        engine=plan.image.engine,
        image=plan.image.image,
        image_identity=origin.image.identity,
        devices=tuple(device.uuid for device in plan.devices),
        settings=plan.settings.values,
        secrets=tuple(plan.env),
        cube=sources.cube,
        inputs=_inputs(plan, facts, sources),
        tasks=tuple(_task(plan, task) for task in plan.tasks),
    )


def require_recorded_sources(job: JobContext, name: str, origin: Origin) -> None:
    """Refuse a job that would be made from other sources than its record says.

    Raises:
        PlanError: Cube, inputs or image differ, and may not.
    """
    expected = job.run.expected
    now = None if expected is None else describe_origin(origin, job.run.sources)
    if expected is None or now is None:
        return
    changes = expected.changes(name, provenance_document(now, (), {}))
    if refused := expected.refused(changes):
        from mlcube_remote.runs.expected_sources import (  # noqa: PLC0415 - only on an error
            changes_hint,
            changes_text,
        )

        raise PlanError(
            f"{job.host}: not as recorded:{changes_text(refused)}", hint=changes_hint(refused)
        )
    for text in (f"not as recorded: {change}" for change in changes):
        if job.run.is_first_warning(text):
            job.warn(text)


def _task(plan: JobPlan, task: BuiltTask) -> TaskOrigin:
    names = tuple(plan.env)
    return TaskOrigin(
        task=task.name,
        argv=insert_options(task.commands, task.launch, names),
        alternatives={
            types: insert_options(each, task.launch, names)
            for types, each in task.commands.alternatives.items()
        },
    )


def _inputs(plan: JobPlan, facts: HostFacts, sources: Sources) -> tuple[InputOrigin, ...]:
    files = () if plan.spec.trial is None else plan.spec.trial.files
    generated = {(file.task, file.parameter): file for file in files}
    return tuple(
        _input(plan, facts, sources, task, item, generated.get((task, item.parameter.name)))
        for task, item in plan.task_parameters()
        if not item.is_output
    )


def _input(
    plan: JobPlan,
    facts: HostFacts,
    sources: Sources,
    task: str,
    item: PlacedParameter,
    generated: GeneratedFile | None,
) -> InputOrigin:
    on_host = host_path(item.parameter.value, plan.paths.layout)
    tree = None if item.local is None else sources.inputs.get(item.local)
    where = item.where.value
    if item.made_by:
        where, tree = "task", None
    elif generated is not None:
        text = generated.text.encode("utf-8", "surrogateescape")
        where, tree = (
            "generated",
            Tree(files=1, size=len(text), sha256=hashlib.sha256(text).hexdigest()),
        )
    return InputOrigin(
        task=task,
        name=item.parameter.name,
        value=item.parameter.value,
        where=where,
        path=on_host if tree is None or generated is not None else str(item.local),
        tree=tree,
        stat=facts.stats.get(on_host),
    )
