# SPDX-License-Identifier: Apache-2.0
"""One host's job, from connect to pull, on one connection."""

from __future__ import annotations

import posixpath
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

import attrs

from mlcube_remote.commands.launch import launched, secret_variable
from mlcube_remote.commands.model import ImageCommands, TaskCommands
from mlcube_remote.dispatch.configure import configure
from mlcube_remote.dispatch.events import EventSink, Level, Stage
from mlcube_remote.dispatch.journal import Journal
from mlcube_remote.dispatch.outcome import JobOutcome, PulledOutput, Status, TaskOutcome
from mlcube_remote.dispatch.paths import HostPaths, cube_room
from mlcube_remote.dispatch.placement import Placed, Where, made_by_cube
from mlcube_remote.dispatch.plan import Job
from mlcube_remote.dispatch.preflight import (
    Facts,
    Image,
    find_image,
    probe,
    require_architecture,
    require_rsync,
)
from mlcube_remote.dispatch.pull import Wanted, fetch, folders
from mlcube_remote.dispatch.rsync import Moved
from mlcube_remote.dispatch.sync import Tree, send, trees
from mlcube_remote.dispatch.task import Start, follow, judge, launch
from mlcube_remote.errors import (
    HostError,
    MLCubeRemoteError,
    PlanError,
    StateUnknownError,
    StoppedByUserError,
    UnexpectedError,
)
from mlcube_remote.inventory.model import Host
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.runs.ids import container_name
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection

GRACE = 10
"""Seconds between SIGTERM and SIGKILL when a job is stopped."""


@attrs.define(kw_only=True)
class Run:
    """What the jobs of one run share."""

    connect: Callable[[Host, Callable[[str], None]], Connection]
    """Opens a connection; the callable takes notes for the user."""
    sink: EventSink
    began: float = attrs.field(factory=time.monotonic)
    stopping: threading.Event = attrs.field(factory=threading.Event)
    """Set when the user wants the run to stop."""
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _roots: dict[str, tuple[str, threading.Lock]] = attrs.field(factory=dict, init=False)
    _stops: dict[str, Callable[[], None]] = attrs.field(factory=dict, init=False)

    @contextmanager
    def alone_in(self, root_id: str, journal: Journal) -> Iterator[None]:
        """Hold a ``remote_root`` for one job, when two hosts of the run turn out to share it."""
        with self._guard:
            first, lock = self._roots.setdefault(root_id, (journal.host, threading.Lock()))
        if first != journal.host:
            journal.note(
                Level.WARNING,
                f"shares its remote_root with {first} (one machine, or one file system): "
                "their jobs run one after the other",
            )
        with lock:
            yield

    @contextmanager
    def stoppable(self, host: str, stop: Callable[[], None]) -> Iterator[None]:
        """Let :meth:`stop` reach a job for as long as the block lasts."""
        with self._guard:
            self._stops[host] = stop
        try:
            if self.stopping.is_set():
                stop()
            yield
        finally:
            with self._guard:
                self._stops.pop(host, None)

    def stop(self) -> None:
        """Ask every job to stop: running tasks are ended, nothing new is begun."""
        self.stopping.set()
        with self._guard:
            stops = list(self._stops.values())
        for stop in stops:
            threading.Thread(target=stop, daemon=True).start()

    def check(self) -> None:
        """Raise when the run is to stop."""
        if self.stopping.is_set():
            raise StoppedByUserError


@attrs.define
class _Progress:
    """What a job has reached, kept for the outcome whatever happens."""

    tasks: list[TaskOutcome] = attrs.field(factory=list)
    outputs: list[PulledOutput] = attrs.field(factory=list)
    launched: bool = False


def run_job(job: Job, run: Run) -> JobOutcome:
    """Do a job and say how it ended; a failure of this host is an outcome, not an exception."""
    journal = Journal(host=job.host.name, began=run.began, sink=run.sink)
    reached = _Progress()
    error: MLCubeRemoteError | None = None
    try:
        _do(job, run, journal, reached)
    except MLCubeRemoteError as problem:
        # What a broken connection says is of no interest once the user has stopped the run.
        error = StoppedByUserError() if run.stopping.is_set() else problem
    except Exception as bug:  # noqa: BLE001 - told with its traceback; other hosts go on
        error = UnexpectedError(job.host.name, f"a bug in mlcube-remote: {bug!r}")
        error.__cause__ = bug
    outcome = JobOutcome(
        host=job.host.name,
        platform=job.platform,
        status=_status(reached, error),
        tasks=_all_tasks(job, reached, error),
        error=error,
        seconds=journal.seconds,
        outputs=tuple(reached.outputs),
    )
    journal.finished(outcome)
    return outcome


def _status(reached: _Progress, error: MLCubeRemoteError | None) -> Status:
    if isinstance(error, StateUnknownError):
        return Status.UNKNOWN if reached.launched else Status.NOT_STARTED
    for task in reached.tasks:
        if task.status is not Status.SUCCEEDED:
            return task.status
    if isinstance(error, StoppedByUserError):
        return Status.CANCELLED
    if error is not None:
        return Status.FAILED if reached.launched else Status.NOT_STARTED
    return Status.SUCCEEDED


def _all_tasks(
    job: Job, reached: _Progress, error: MLCubeRemoteError | None
) -> tuple[TaskOutcome, ...]:
    if job.request.configure_only:
        return ()
    rest = list(job.request.tasks[len(reached.tasks) :])
    done = list(reached.tasks)
    if rest and reached.launched and isinstance(error, StateUnknownError):
        done.append(TaskOutcome(task=rest.pop(0), status=Status.UNKNOWN))
    return (*done, *(TaskOutcome(task=task, status=Status.NOT_STARTED) for task in rest))


def _do(job: Job, run: Run, journal: Journal, reached: _Progress) -> None:
    run.check()
    with journal.stage(Stage.CONNECT):
        connection = run.connect(job.host, lambda text: journal.note(Level.INFO, text))
    with closing(connection):
        connection.expect_channel()
        with run.stoppable(job.host.name, connection.close):
            facts = _probe(connection, job)
        with run.alone_in(facts.root_id, journal):
            _work(connection, job, run, journal, reached, facts)


def _probe(connection: Connection, job: Job) -> Facts:
    placed = job.placed(job.host.remote_root)
    asked = [
        item.parameter.value.rstrip("/") or "/"
        for items in placed.values()
        for item in items
        if item.where is Where.HOST
    ]
    room = "" if job.host.is_local else cube_room(job.request.cube)
    facts = probe(connection, remote_root=job.host.remote_root, cube_room=room, paths=asked)
    if not job.host.is_local:
        require_rsync(connection, facts)
    return facts


def _work(
    connection: Connection,
    job: Job,
    run: Run,
    journal: Journal,
    reached: _Progress,
    facts: Facts,
) -> None:
    paths = job.paths(root=facts.root, home=facts.home)
    commands = job.commands(paths, facts.kinds)
    needed = job.image_commands(paths)
    warnings = (*needed.warnings, *(text for _, built in commands for text in built.warnings))
    for warning in dict.fromkeys(warnings):
        journal.note(Level.WARNING, warning)
    with run.stoppable(job.host.name, connection.close):
        image = _sync(connection, job, journal, paths, needed, run)
        run.check()
        _configure(connection, job, journal, paths, facts, needed, image)
        run.check()
        if job.request.configure_only:
            return
        _require_inputs_there(connection, job, paths)
    starts = _starts(job, commands, facts, paths)
    try:
        _run_tasks(connection, job, run, journal, reached, paths, commands, starts)
    finally:
        if reached.tasks:
            _pull(connection, job, journal, reached, paths)


def _sync(
    connection: Connection,
    job: Job,
    journal: Journal,
    paths: HostPaths,
    commands: ImageCommands,
    run: Run,
) -> Image:
    """Bring the mirror up to date; meanwhile, ask whether the image is there."""
    with ThreadPoolExecutor(1, thread_name_prefix="mlcr-image") as aside:
        looking: Future[Image] = aside.submit(
            find_image, connection, job.platform, commands.engine, commands.image
        )
        if not job.host.is_local:
            connection.expect_channel()
            with journal.stage(Stage.SYNC) as notes:
                placed = [item for items in job.placed(paths.root).values() for item in items]
                notes.detail = _send_all(
                    connection, journal, trees(job.request.cube, placed, paths), run
                )
        return looking.result()


def _send_all(connection: Connection, journal: Journal, all_trees: Sequence[Tree], run: Run) -> str:
    parents = [posixpath.dirname(tree.remote) for tree in all_trees if not tree.mirror]
    if parents:
        _make(connection, parents)
    total = Moved(0, 0)
    for tree in all_trees:
        run.check()
        sent = send(
            connection,
            tree,
            progress=lambda detail, fraction: journal.progress(Stage.SYNC, detail, fraction),
        )
        total = Moved(total.files + sent.moved.files, total.size + sent.moved.size)
        for link in sent.left_out:
            journal.note(Level.WARNING, f"not sent: {link} is a link that leaves the cube")
    return str(total)


def _configure(
    connection: Connection,
    job: Job,
    journal: Journal,
    paths: HostPaths,
    facts: Facts,
    commands: ImageCommands,
    image: Image,
) -> None:
    always = job.request.configure_only or commands.before_each_run
    with journal.stage(Stage.CONFIGURE) as notes:
        if image.present and not always:
            notes.skipped, notes.detail = True, "image present"
        else:
            configure(connection, journal, paths, commands)
            image = find_image(connection, job.platform, commands.engine, commands.image)
        if warning := require_architecture(connection, facts, image, commands.image):
            journal.note(Level.WARNING, warning)


def _require_inputs_there(connection: Connection, job: Job, paths: HostPaths) -> None:
    """Refuse to run without an input that only the host could have had."""
    made: set[str] = set()
    for task, items in job.placed(paths.root).items():
        for item in items:
            if item.is_output or item.local is None or item.local.exists():
                continue
            value = item.parameter.value
            if item.where is not Where.WORKSPACE or value in made:
                continue
            if not made_by_cube(item, job.request.cube):
                continue
            there = paths.mirror(item.local, job.request.cube)
            if connection.call("mlcr_kind", there).text.strip() == "-":
                raise PlanError(
                    f"{job.host.name}: {task}.{item.parameter.name}: input {value!r} is neither "
                    "on this machine nor on the host",
                    hint="run the task that makes it first",
                )
        made |= {item.parameter.value for item in items if item.is_output}


def _starts(
    job: Job, commands: Sequence[tuple[str, TaskCommands]], facts: Facts, paths: HostPaths
) -> tuple[Start, ...]:
    secrets = tuple(job.env)
    starts = []
    for number, (task, built) in enumerate(commands, 1):
        options = job.launch(number, task, built, uid=facts.uid, paths=paths)
        named = job.platform in CONTAINER_ENGINES
        starts.append(
            Start(
                task=task,
                argv=launched(built, options, secrets),
                engine=built.engine,
                container=container_name(facts.uid, job.id, number) if named else "",
            )
        )
    return tuple(starts)


def _environment(job: Job, commands: Sequence[tuple[str, TaskCommands]]) -> dict[str, Secret]:
    """Return what the supervisor exports: the secrets, under the names that the engine takes."""
    public = {
        name: Secret(value) for _, built in commands for name, value in built.environment.items()
    }
    handed = {secret_variable(job.platform, name): value for name, value in job.env.items()}
    return {**public, **handed}


def _run_tasks(
    connection: Connection,
    job: Job,
    run: Run,
    journal: Journal,
    reached: _Progress,
    paths: HostPaths,
    commands: Sequence[tuple[str, TaskCommands]],
    starts: Sequence[Start],
) -> None:
    _prepare(connection, [built for _, built in commands])
    launch(connection, paths, starts, _environment(job, commands))
    reached.launched = True
    with run.stoppable(job.host.name, lambda: _stop(connection, journal, paths)):
        for number, start in enumerate(starts, 1):
            with journal.stage(Stage.RUN, start.task) as notes:
                connection.expect_channel()
                verdict = follow(connection, paths, number, journal.output(Stage.RUN, start.task))
                ended = judge(job.host.name, start, verdict)
                reached.tasks.append(ended)
                notes.detail = ended.reason or f"exit code {ended.exit_code}"
            if ended.status is not Status.SUCCEEDED:
                return


def _prepare(connection: Connection, commands: Sequence[TaskCommands]) -> None:
    """Make the directories that the tasks mount, and fill a workspace of one's own."""
    creates = list(dict.fromkeys(path for built in commands for path in built.directories))
    copies = list(dict.fromkeys(copy for built in commands for copy in built.copies))
    pairs = [path for copy in copies for path in (copy.source, copy.target)]
    _make(connection, creates, pairs)


def _make(connection: Connection, directories: Sequence[str], copies: Sequence[str] = ()) -> None:
    made = connection.call("mlcr_prepare", str(len(copies) // 2), *copies, *directories)
    if not made.ok:
        said = made.stderr.decode("utf-8", "replace").strip()
        raise HostError(connection.name, f"the workspace could not be prepared there: {said}")


def _stop(connection: Connection, journal: Journal, paths: HostPaths) -> None:
    journal.note(Level.INFO, f"stopping (SIGTERM, after {GRACE} s SIGKILL)")
    connection.call("mlcr_stop", paths.job_dir, str(GRACE), timeout=GRACE + 60.0)


def _pull(
    connection: Connection,
    job: Job,
    journal: Journal,
    reached: _Progress,
    paths: HostPaths,
) -> None:
    ran = {task.task for task in reached.tasks}
    placed = [
        (task, item)
        for task, items in job.placed(paths.root).items()
        if task in ran
        for item in items
    ]
    missing: list[Wanted] = []
    with journal.stage(Stage.PULL) as notes:
        if job.host.is_local:
            notes.skipped, notes.detail = True, "in place"
            reached.outputs += _in_place(placed)
            return
        details = []
        for folder in folders(job.request.cube, placed, paths, results=job.results):
            pulled = fetch(
                connection,
                folder,
                progress=lambda detail, fraction: journal.progress(Stage.PULL, detail, fraction),
            )
            reached.outputs += pulled.outputs
            missing += pulled.missing
            details.append(str(pulled.moved))
        notes.detail = "; ".join(details) or "no outputs"
    _mark_missing(reached, missing)


def _in_place(placed: Sequence[tuple[str, Placed]]) -> list[PulledOutput]:
    return [
        PulledOutput(task=task, name=item.parameter.name, path=item.local)
        for task, item in placed
        if item.is_output and item.local is not None and item.local.exists()
    ]


def _mark_missing(reached: _Progress, missing: Sequence[Wanted]) -> None:
    """Turn the success of a task that did not make what it declared into a failure."""
    for index, task in enumerate(reached.tasks):
        lacking = [item.name for item in missing if item.task == task.task]
        if lacking and task.status is Status.SUCCEEDED:
            reached.tasks[index] = attrs.evolve(
                task,
                status=Status.FAILED,
                reason=f"exited 0 but did not produce its output {', '.join(lacking)}",
            )
