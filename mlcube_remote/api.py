# SPDX-License-Identifier: Apache-2.0
"""What the command line does, as functions; ``from mlcube_remote import run, attach, …``.

No function asks for anything, or prints anything but warnings; what happens is told to
``on_event``. How jobs ended is a value; an exception means that nothing could be tried at all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mlcube_remote.cube.model import Cube
from mlcube_remote.dispatch.events import Event
from mlcube_remote.dispatch.exitcode import exit_code
from mlcube_remote.dispatch.outcome import JobOutcome, Status
from mlcube_remote.errors import MLCubeRemoteError, UsageError
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.results import Cell

if TYPE_CHECKING:
    import click

    from mlcube_remote.dispatch.known import KnownJob
    from mlcube_remote.dispatch.run import Run

Names = str | Iterable[str]
"""One name, several with commas between, or an iterable of them."""

OnEvent = Callable[[Event], None]
"""Is told what happens, one event at a time, from threads that are not yours."""


class RunFailedError(MLCubeRemoteError):
    """Not every job of a run succeeded; raised only by :meth:`RunResult.check`."""


@attrs.frozen(kw_only=True)
class RunResult:
    """What a call came to."""

    run_id: str
    jobs: tuple[JobOutcome, ...]

    @property
    def succeeded(self) -> bool:
        """Whether every job ended well, and its outputs are here."""
        return all(job.succeeded for job in self.jobs)

    @property
    def exit_code(self) -> int:
        """What the command line would have ended with."""
        return exit_code(self.jobs)

    def check(self) -> RunResult:
        """Return the result itself where every job succeeded or goes on.

        Raises:
            RunFailedError: Some did not; the message says which, and on which account.
        """
        well = {Status.SUCCEEDED, Status.RUNNING}
        failed = [job for job in self.jobs if job.status not in well]
        if not failed:
            return self
        from mlcube_remote.ui.jobline import why  # noqa: PLC0415 - only for a failure

        told = "; ".join(f"{job.label}: {why(job) or job.status.value}" for job in failed[:8])
        more = f" … ({len(failed)} in all)" if len(failed) > 8 else ""
        raise RunFailedError(
            f"{len(failed)} of {len(self.jobs)} jobs did not succeed: {told}{more}",
            hint=f"mlcube-remote rerun {self.run_id} --failed",
        )


@attrs.frozen(kw_only=True)
class Results:
    """What is known of a run; docs/reference/results.md describes it."""

    document: Mapping[str, Any]
    """The index of the results."""

    def rows(self, sort: str | None = None) -> list[dict[str, Cell]]:
        """Return a row per job: column → cell, as ``results show --csv`` has them.

        Args:
            sort: A column to order by; a leading ``-`` puts the largest first.

        Raises:
            UsageError: There is no such column.
        """
        from mlcube_remote.ui.results import ordered, results_rows  # noqa: PLC0415

        return results_rows(ordered(self.document["jobs"], sort))


@attrs.frozen
class _Listener:
    """A reporter that only passes events on."""

    on_event: OnEvent | None

    def handle(self, event: Event) -> None:
        if self.on_event is not None:
            self.on_event(event)

    def block(self, title: str, stream: Stream, lines: Iterator[str]) -> None:
        """Take lines that nobody sees."""

    def paused(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def close(self) -> None:
        """Nothing to give back."""


def run(
    mlcube: str | os.PathLike[str] = ".",
    *,
    hosts: Names,
    tasks: Names,
    parameters: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    workspace: str | os.PathLike[str] | None = None,
    platform: str | None = None,
    inventory: str | os.PathLike[str] | None = None,
    env: Names = (),
    gpus: str | int | None = None,
    memory: str | None = None,
    cpu: str | None = None,
    network: str | None = None,
    trust_cube: bool = False,
    timeout: float | None = None,
    sweep: Mapping[str, Iterable[object]] | None = None,
    sweep_file: str | os.PathLike[str] | None = None,
    shard: str | None = None,
    retries: int | None = None,
    detach: bool = False,
    wait: bool = False,
    parallel: int | None = None,
    max_failures: int | None = None,
    run_id: str | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Run tasks of a cube on hosts, and bring home what they made.

    Ctrl-C stops the jobs; the call then returns what they came to.

    Args:
        mlcube: Directory of the cube, or its YAML file.
        hosts: Names, groups, ranges and exclusions, as ``--host`` takes them.
        tasks: Tasks to run, in order.
        parameters: Values for the tasks' parameters; ``local:PATH`` is on this machine.
        overrides: Settings of ``mlcube.yaml`` with other values, as ``-P`` gives them.
        workspace: Another workspace than the cube's own.
        platform: ``docker``, ``podman``, ``singularity`` or ``apptainer``.
        inventory: The file with the hosts; else found as the command line does.
        env: Variables of this process to hand to the containers; their values are shown nowhere.
        gpus: GPUs to hand over: a number, ``all`` or ``device=0,1``.
        memory: Memory limit, such as ``4g``.
        cpu: CPUs that the container may use, such as ``0-3``.
        network: Network of the container.
        trust_cube: Whether ``mlcube.yaml`` itself may ask the engine for privileges.
        timeout: Seconds that each task may take; its host ends it after that.
        sweep: Name → values: a job for each combination, on whichever of the hosts is free.
        sweep_file: The same from a YAML file.
        shard: ``NAME=LIST``: a file's lines, or items with commas, split into a piece per host.
        retries: How often a job of these is begun again when its host was lost or unfit.
        detach: Return as soon as every job has been started.
        wait: Wait for a workspace that another run holds.
        parallel: Hosts that are worked on at once.
        max_failures: Cancel the other jobs when so many have failed.
        run_id: Go on with this run: what it started before is not started again.
        password: For the login, where no key or agent serves.
        passphrase: Of the private keys, where no agent serves.
        on_event: Is told what happens.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file; no host was touched.
    """
    from mlcube_remote.cli.run import perform, prepare  # noqa: PLC0415 - when it is needed
    from mlcube_remote.cli.run import run as command  # noqa: PLC0415

    given = {
        **_defaults(command),
        **_where(hosts, inventory, password, passphrase),
        **_cube(mlcube, overrides, workspace),
        "tasks": _names(tasks),
        "arguments": _pairs(parameters),
        "platform": platform,
        "env_names": _names(env),
        "gpus": None if gpus is None else str(gpus),
        "memory": memory,
        "cpu": cpu,
        "network": network,
        "trust_cube": trust_cube,
        "timeout": timeout,
        "sweeps": _sweeps(sweep),
        "sweep_file": None if sweep_file is None else os.fspath(sweep_file),
        "shard": shard,
        "detach": detach,
        "wait": wait,
        "max_failures": max_failures,
        "run_id": run_id,
        "reporter": _Listener(on_event),
    }
    counts = {"parallel": parallel, "retries": retries}
    given |= {name: count for name, count in counts.items() if count is not None}
    request, found = prepare(given)
    return RunResult(run_id=request.run_id, jobs=perform(request, found, given))


def rerun(
    run: str,
    *,
    failed: bool = True,
    hosts: Names = (),
    wait: bool = False,
    parallel: int | None = None,
    max_failures: int | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Run jobs of a run again, with the arguments that it was begun with, into the same results.

    Jobs that may still be at work are left alone, and are not in the result. For the time of the
    call the working directory is the one in which the run was begun.

    Args:
        run: Its id, or enough of its beginning or end.
        failed: Only jobs that did not succeed.
        hosts: Only jobs on these of the run's hosts.
        wait: As for :func:`run`, like all that follow.
        parallel: See there.
        max_failures: See there.
        password: See there.
        passphrase: See there.
        on_event: See there.

    Raises:
        MLCubeRemoteError: The run was not begun here, or what it was begun with has changed.
    """
    from mlcube_remote.cli.rerun import choose_again  # noqa: PLC0415
    from mlcube_remote.cli.rerun import rerun as command  # noqa: PLC0415
    from mlcube_remote.cli.run import perform, prepare  # noqa: PLC0415

    asked = choose_again(run, failed=failed, hosts=_names(hosts))
    if not asked.again.attempts:
        return RunResult(run_id=asked.run_id, jobs=())
    given = asked.options(
        {
            **_defaults(command, without=("run_text", "failed", "only_hosts")),
            **_logins(password, passphrase),
            "wait": wait,
            "max_failures": max_failures,
            "reporter": _Listener(on_event),
        }
    )
    if parallel is not None:
        given["parallel"] = parallel
    with asked.where_it_began():
        request, found = prepare(given, again=asked.again.attempts)
        return RunResult(run_id=asked.run_id, jobs=perform(request, found, given))


def configure(
    mlcube: str | os.PathLike[str] = ".",
    *,
    hosts: Names,
    overrides: Mapping[str, str] | None = None,
    platform: str | None = None,
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Send a cube to hosts and make its image ready there; arguments as for :func:`run`.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file; no host was touched.
    """
    from mlcube_remote.cli.run import perform, prepare  # noqa: PLC0415
    from mlcube_remote.cli.run import run as command  # noqa: PLC0415

    given = {
        **_defaults(command),
        **_where(hosts, inventory, password, passphrase),
        **_cube(mlcube, overrides, None),
        "platform": platform,
        "reporter": _Listener(on_event),
    }
    request, found = prepare(given, configure_only=True)
    return RunResult(run_id=request.run_id, jobs=perform(request, found, given))


def describe(
    mlcube: str | os.PathLike[str] = ".",
    *,
    overrides: Mapping[str, str] | None = None,
    workspace: str | os.PathLike[str] | None = None,
) -> Cube:
    """Return a cube: its tasks, parameters and platforms.

    Args:
        mlcube: Directory of the cube, or its YAML file.
        overrides: Settings of ``mlcube.yaml`` with other values, as ``-P`` gives them.
        workspace: Another workspace than the cube's own.

    Raises:
        CubeError: ``mlcube.yaml`` is not there, or is wrong.
    """
    from mlcube_remote.cube.load import load  # noqa: PLC0415 - imports omegaconf

    given = _cube(mlcube, overrides, workspace)
    return load(given["mlcube"], overrides=given["overrides"], workspace=given["workspace"])


def attach(
    run: str,
    *,
    hosts: Names = (),
    pulls: bool = True,
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Follow a run until it has ended, its output from the first byte on, and pull what it made.

    Args:
        run: Its id, or enough of its beginning or end.
        hosts: Only its jobs on these hosts.
        pulls: Whether to pull.
        inventory: As for :func:`run`; by default the one that the run was begun with.
        password: For the login, where no key or agent serves.
        passphrase: Of the private keys, where no agent serves.
        on_event: Is told what happens.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.dispatch.attach import Following, attach_job  # noqa: PLC0415

    following = Following(pulls=pulls)

    def work(job: KnownJob, of: Run) -> JobOutcome:
        return attach_job(job, following, of)

    return _each(run, work, _where(hosts, inventory, password, passphrase), on_event)


def logs(
    run: str,
    on_event: OnEvent,
    *,
    tail: int | None = None,
    hosts: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
) -> RunResult:
    """Tell what a run's tasks have written by now, as events, and return how its jobs stand.

    Args:
        run: Its id, or enough of its beginning or end.
        on_event: Is told of it: :class:`~mlcube_remote.dispatch.events.Output` is what tasks wrote.
        tail: Lines of each stream to begin with; by default the first byte.
        hosts: Only its jobs on these hosts.
        inventory: As for :func:`attach`.
        password: For the login, where no key or agent serves.
        passphrase: Of the private keys, where no agent serves.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.dispatch.attach import Following, attach_job  # noqa: PLC0415

    following = Following(tail=tail, pulls=False, ends=True)

    def work(job: KnownJob, of: Run) -> JobOutcome:
        return attach_job(job, following, of)

    return _each(run, work, _where(hosts, inventory, password, passphrase), on_event, is_kept=False)


def status(
    run: str,
    *,
    hosts: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Return how each job of a run stands; arguments as for :func:`attach`.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.dispatch.attach import look_job  # noqa: PLC0415

    return _each(run, look_job, _where(hosts, inventory, password, passphrase), on_event)


def pull(
    run: str,
    *,
    outputs: Names = (),
    hosts: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Bring home what a run has made; while it runs, what there is so far.

    Args:
        run: Its id, or enough of its beginning or end.
        outputs: Only these; none: all.
        hosts: As for :func:`attach`, like all that follow.
        inventory: See there.
        password: See there.
        passphrase: See there.
        on_event: See there.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.dispatch.attach import pull_job  # noqa: PLC0415

    work = partial(pull_job, names=frozenset(_names(outputs)))
    return _each(run, work, _where(hosts, inventory, password, passphrase), on_event)


def stop(
    run: str,
    *,
    grace: float = 10.0,
    hosts: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Stop a run's jobs, and return how they ended; doing it twice does no harm.

    Args:
        run: Its id, or enough of its beginning or end.
        grace: Seconds between asking a task to end (SIGTERM) and ending it (SIGKILL).
        hosts: As for :func:`attach`, like all that follow.
        inventory: See there.
        password: See there.
        passphrase: See there.
        on_event: See there.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.dispatch.attach import stop_job  # noqa: PLC0415

    work = partial(stop_job, grace=round(grace))
    return _each(run, work, _where(hosts, inventory, password, passphrase), on_event)


def results(run: str | os.PathLike[str]) -> Results:
    """Return what is known of a run, without asking any host.

    Args:
        run: Its id, enough of its beginning or end, or the path of its results.

    Raises:
        MLCubeRemoteError: There is no such run, or its results cannot be read.
    """
    from mlcube_remote.cli.results import find_index  # noqa: PLC0415

    return Results(document=find_index(os.fspath(run)))


def _each(
    text: str,
    work: Callable[[KnownJob, Run], JobOutcome],
    where: Mapping[str, Any],
    on_event: OnEvent | None,
    *,
    is_kept: bool = True,
) -> RunResult:
    """Do something with each job of a run, and keep what it comes to in the run's record."""
    from mlcube_remote.cli.following import show  # noqa: PLC0415
    from mlcube_remote.cli.jobs import attach as command  # noqa: PLC0415
    from mlcube_remote.cli.session import find_run  # noqa: PLC0415
    from mlcube_remote.runs.store import Store  # noqa: PLC0415

    found, logins = find_run(
        text,
        hosts=where["hosts"],
        inventory=where["inventory"],
        password=where["ask_password"],
        passphrase=where["ask_passphrase"],
    )
    outcomes = show(
        found.run_id,
        {job.name: partial(work, job) for job in found.jobs},
        {**_defaults(command), "reporter": _Listener(on_event)},
        connect=logins.connect,
        store=Store() if is_kept else None,
        results=found.results,
        keeps=found.shares_hosts,
    )
    return RunResult(run_id=found.run_id, jobs=outcomes)


def _defaults(command: click.Command, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Return what the command line's options are when nobody gives them."""
    context = command.make_context(command.name, [], resilient_parsing=True)
    params = {name: value for name, value in context.params.items() if name not in without}
    # There is nobody to be asked.
    return {**params, "on_interrupt": "stop"}


def _where(
    hosts: Names,
    inventory: str | os.PathLike[str] | None,
    password: str | None,
    passphrase: str | None,
) -> dict[str, Any]:
    return {
        "hosts": (hosts,) if isinstance(hosts, str) else tuple(hosts),
        "inventory": None if inventory is None else os.fspath(inventory),
        **_logins(password, passphrase),
    }


def _logins(password: str | None, passphrase: str | None) -> dict[str, Any]:
    return {
        "ask_password": Secret(password) if password is not None else False,
        "ask_passphrase": Secret(passphrase) if passphrase is not None else False,
    }


def _cube(
    mlcube: str | os.PathLike[str],
    overrides: Mapping[str, str] | None,
    workspace: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    if not Path(mlcube).exists():
        raise UsageError(f"{os.fspath(mlcube)}: no such cube")
    return {
        "mlcube": os.fspath(mlcube),
        "overrides": _pairs(overrides),
        "workspace": None if workspace is None else os.fspath(workspace),
    }


def _sweeps(sweep: Mapping[str, Iterable[object]] | None) -> tuple[str, ...]:
    options = []
    for name, values in (sweep or {}).items():
        # A text is one value, not its letters.
        texts = [values] if isinstance(values, str) else [str(value) for value in values]
        if apart := [text for text in texts if "," in text]:
            raise UsageError(
                f"sweep: {name}: a value with a comma: {apart[0]!r}",
                hint="such values are given in a sweep_file",
            )
        options.append(f"{name}={','.join(texts)}")
    return tuple(options)


def _names(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _pairs(values: Mapping[str, str] | None) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in (values or {}).items())
