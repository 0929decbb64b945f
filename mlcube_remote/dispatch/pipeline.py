# SPDX-License-Identifier: Apache-2.0
"""One host's job, from connect to pull, on one connection at a time."""

from __future__ import annotations

from functools import partial

import attrs

from mlcube_remote.commands.model import ImageCommands
from mlcube_remote.dispatch.claim import Claim, claimed, join
from mlcube_remote.dispatch.finish import Settle, conclude
from mlcube_remote.dispatch.monitor import Reached, Watch, watch
from mlcube_remote.dispatch.run_context import Run
from mlcube_remote.dispatch.stages import (
    Bench,
    Built,
    configure_stage,
    launch_job,
    require_data_there,
    require_inputs_there,
    sync_stage,
)
from mlcube_remote.events.emitter import Journal
from mlcube_remote.events.model import Level
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.facts import gpus
from mlcube_remote.facts.gpu_leases import lease
from mlcube_remote.facts.probe import (
    Facts,
    clock_warning,
    logout_warning,
    probe,
    require_program,
    require_rsync,
)
from mlcube_remote.jobs.handle import Ticket
from mlcube_remote.plan import requirements as require
from mlcube_remote.plan.gpu_requests import Device
from mlcube_remote.plan.host_paths import cube_room
from mlcube_remote.plan.job import Job
from mlcube_remote.transport.base import Connection


def run_job(
    job: Job, run: Run, settle: Settle = lambda _: None, *, may_run: bool = False
) -> JobOutcome:
    """Do a job and say how it ended; a failure of this host is an outcome, not an exception.

    Args:
        job: The job.
        run: The run that it belongs to.
        settle: Decides whether it is to be begun again.
        may_run: Whether an earlier client of the run may have begun it there.
    """
    journal = Journal(host=job.host.name, job=job.own_name, began=run.began, sink=run.sink)
    return conclude(
        lambda reached: _connect_and_work(job, run, journal, reached),
        job=(job.request.run_id, job.id),
        parameters={} if job.trial is None else job.trial.point.values,
        settle=settle,
        may_run=may_run,
        platform=job.platform,
        tasks=() if job.request.configure_only else job.request.tasks,
        run=run,
        journal=journal,
        attempt=job.attempt,
    )


def _connect_and_work(job: Job, run: Run, journal: Journal, reached: Reached) -> None:
    run.check()
    with run.line(job.host, journal) as line:
        line.connection.expect_channel()
        with run.reachable(job.name, stop=line.close, leave=line.close):
            facts = line.steadily(partial(_probe, job))
        journal.note(
            Level.DEBUG,
            f"connect: {facts.user} in {facts.root}, {facts.machine}, rsync {facts.rsync or '-'}",
        )
        if warning := clock_warning(facts):
            journal.note(Level.WARNING, warning)
        bench = Bench(
            job=job,
            run=run,
            journal=journal,
            line=line,
            facts=facts,
            paths=job.paths(root=facts.root, home=facts.home),
            reached=reached,
        )
        if job.trial is not None:
            _work(bench)
            return
        with run.alone_in(facts.root_id, journal):
            _work(bench)


def _probe(job: Job, connection: Connection) -> Facts:
    room = "" if job.host.is_local else cube_room(job.request.cube)
    facts = probe(connection, remote_root=job.host.remote_root, cube_room=room, paths=job.asked())
    if not job.host.is_local:
        require_rsync(connection, facts)
    return facts


def _work(bench: Bench) -> None:
    needed = bench.job.image_commands(bench.paths, bench.facts.kinds, bench.facts.programs)
    require_program(bench.line.connection, bench.facts, needed)
    require.recipe_there(bench.job, needed, bench.facts.kinds)
    with bench.run.reachable(bench.job.name, stop=bench.line.close, leave=bench.line.close):
        if bench.job.request.configure_only:
            # An image needs no inputs: they may come later.
            _make_ready(bench, needed, ())
            return
        commands = bench.job.commands(bench.paths, bench.facts.kinds, bench.facts.programs)
        ticket = bench.ticket(commands)
        with claimed(bench, ticket) as held:
            bench.reached.may_run = False
            if held is not Claim.ANOTHERS:
                _begin(bench, ticket, held, needed, commands)
            else:
                join(bench, ticket)
                bench.remember(ticket)
    if bench.run.detach:
        bench.reached.detached = True
        return
    _watch(bench, ticket)


def _begin(
    bench: Bench, ticket: Ticket, held: Claim, needed: ImageCommands, commands: Built
) -> None:
    """Make ready what a claimed job needs, and launch it."""
    require_data_there(bench)
    bench.remember(ticket)
    bench = _with_devices(bench, ticket)
    if bench.job.devices:
        commands = bench.job.commands(bench.paths, bench.facts.kinds, bench.facts.programs)
    with bench.run.mirror(bench.facts.root_id) as mirror:
        if bench.job.host.name not in mirror.ready_on or held is not Claim.SHARED:
            if warning := logout_warning(bench.facts, needed):
                bench.journal.note(Level.WARNING, warning)
            _make_ready(bench, needed, commands)
        else:
            require_inputs_there(bench)
        mirror.ready_on.add(bench.job.host.name)
    launch_job(bench, ticket, commands)


def _with_devices(bench: Bench, ticket: Ticket) -> Bench:
    """Lease the GPUs that the job asks for."""
    if not bench.job.gpus:
        return bench

    def wait(reason: str) -> None:
        bench.run.check()
        bench.journal.note(Level.INFO, f"waiting: {reason}")

    devices = bench.line.steadily(
        lambda at: lease(
            at,
            ticket.job_dir,
            bench.job.gpus,
            engine=_engine(ticket),
            only=bench.job.host.gpus or (),
            wait=wait if bench.waits else None,
        )
    )
    if not devices:
        return bench
    bench.line.after.append(partial(_lease_again, bench, ticket, devices))
    numbers = ", ".join(device.index for device in devices)
    bench.journal.note(Level.INFO, f"GPU{'s' if len(devices) > 1 else ''} {numbers} for this job")
    return attrs.evolve(bench, job=attrs.evolve(bench.job, devices=devices))


def _lease_again(
    bench: Bench, ticket: Ticket, devices: tuple[Device, ...], connection: Connection
) -> None:
    """Make sure that a job which was cut off before its launch still has its GPUs."""
    if not bench.reached.launched:
        names = [device.uuid for device in devices]
        lease(connection, ticket.job_dir, len(devices), engine=_engine(ticket), only=names)


def _engine(ticket: Ticket) -> tuple[str, ...]:
    """Return the command of the engine that has the job's containers; nothing where none has."""
    first = ticket.tasks[0]
    return first.engine if first.container else ()


def _make_ready(bench: Bench, needed: ImageCommands, commands: Built) -> None:
    warnings = (*needed.warnings, *(text for _, built in commands for text in built.warnings))
    for warning in dict.fromkeys(warnings):
        bench.journal.note(Level.WARNING, warning)
    asked = bench.job.request.options.gpus
    if without := gpus.missed(bench.line.connection, [built for _, built in commands], asked):
        bench.journal.note(Level.WARNING, without)
    image = sync_stage(bench, needed)
    bench.run.check()
    if commands:
        # An image may take long to build.
        require_inputs_there(bench)
    configure_stage(bench, needed, image)
    bench.run.check()


def _watch(bench: Bench, ticket: Ticket) -> None:
    watch(
        Watch(
            ticket=ticket,
            run=bench.run,
            journal=bench.journal,
            line=bench.line,
            reached=bench.reached,
        )
    )
