# SPDX-License-Identifier: Apache-2.0
"""Starting a job's tasks on a host, following them, and judging how they ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from mlcube_remote.dispatch.outcome import Status, TaskOutcome
from mlcube_remote.dispatch.paths import HostPaths
from mlcube_remote.dispatch.preflight import records
from mlcube_remote.errors import BusyError, HostError, HostUnfitError, StateUnknownError
from mlcube_remote.remote import supervisor
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection, OutputSink, Stream
from mlcube_remote.transport.quoting import quote_words

OUT_OF_MEMORY = 137
"""Exit code of a process that SIGKILL ended, as the kernel does when memory runs out."""


@attrs.frozen(kw_only=True)
class Start:
    """One task to start: what the supervisor is told."""

    task: str
    argv: tuple[str, ...]
    engine: tuple[str, ...]
    container: str
    """Name of its container, or nothing where the engine has none."""


@attrs.frozen(kw_only=True)
class Verdict:
    """How a task stands, as its host tells it."""

    exit: int | None
    """``None`` while it runs, or when nothing was left behind."""
    alive: bool
    """Whether its supervisor lives."""
    sizes: Mapping[Stream, int]
    started: int | None
    finished: int | None
    inspect: str
    """``STATUS EXITCODE OOMKILLED ERROR`` from the engine, or nothing."""
    stopped: bool
    """Whether somebody asked for the job to stop."""


def launch(
    connection: Connection,
    paths: HostPaths,
    starts: Sequence[Start],
    env: Mapping[str, Secret],
) -> None:
    """Write the job down on the host and start its supervisor, once.

    Args:
        connection: The host.
        paths: The job's paths.
        starts: The tasks, in order.
        env: What the containers get by name; exported to the supervisor, written nowhere.

    Raises:
        BusyError: The job was started before, by somebody else.
        HostError: It could not be written; nothing runs.
    """
    words: list[str] = []
    for start in starts:
        words += [start.task, quote_words(start.argv), quote_words(start.engine), start.container]
    reply = connection.call(
        "mlcr_launch",
        paths.job_dir,
        supervisor(),
        *words,
        env={name: value.reveal() for name, value in env.items()},
    )
    if reply.code == 17:
        raise BusyError(connection.name, f"the job {paths.job_dir} was started before")
    if not reply.ok:
        said = reply.stderr.decode("utf-8", "replace").strip()
        raise HostError(connection.name, f"the job could not be written there: {said}")


def follow(connection: Connection, paths: HostPaths, number: int, sink: OutputSink) -> Verdict:
    """Pass on every byte that the ``number``-th task writes, until it has ended.

    Raises:
        StateUnknownError: The host can no longer be asked.
    """
    received = {Stream.STDOUT: 0, Stream.STDERR: 0}

    def count(stream: Stream, data: bytes) -> None:
        received[stream] += len(data)
        sink(stream, data)

    connection.stream(
        "mlcr_follow",
        paths.job_dir,
        str(number),
        str(received[Stream.STDOUT]),
        str(received[Stream.STDERR]),
        sink=count,
    )
    verdict = ask(connection, paths, number)
    for stream, size in verdict.sizes.items():
        while received[stream] < size:
            file = f"{paths.task_dir(number)}/{stream.value}"
            rest = connection.call("mlcr_bytes", file, str(received[stream]))
            if not rest.stdout:
                break
            count(stream, rest.stdout)
    return verdict


def ask(connection: Connection, paths: HostPaths, number: int) -> Verdict:
    """Ask the host how the ``number``-th task stands."""
    reply = connection.call("mlcr_verdict", paths.job_dir, str(number))
    told = dict(records(reply))
    try:
        code = told["exit"]
        return Verdict(
            exit=None if code == "pending" else int(code),
            alive=told["alive"] == "yes",
            sizes={
                Stream.STDOUT: int(told["stdout"]),
                Stream.STDERR: int(told["stderr"]),
            },
            started=int(told["started"]) if "started" in told else None,
            finished=int(told["finished"]) if "finished" in told else None,
            inspect=told.get("inspect", ""),
            stopped=told.get("stop") == "yes",
        )
    except (KeyError, ValueError) as problem:
        raise StateUnknownError(
            connection.name,
            f"the state of {paths.job_dir} could not be read ({problem})",
            hint=f"look there: ls {paths.task_dir(number)}",
        ) from problem


def judge(host: str, start: Start, verdict: Verdict) -> TaskOutcome:
    """Say how a task ended, from the two witnesses: the exit file and the engine's own account.

    Raises:
        HostUnfitError: The engine refused to start the container at all.
        StateUnknownError: The supervisor is gone and left no exit code.
    """
    seconds = (
        float(verdict.finished - verdict.started)
        if verdict.started is not None and verdict.finished is not None
        else None
    )

    def outcome(status: Status, code: int | None, reason: str = "") -> TaskOutcome:
        return TaskOutcome(
            task=start.task, status=status, exit_code=code, reason=reason, seconds=seconds
        )

    if verdict.exit is None:
        if verdict.started is None and verdict.stopped:
            return outcome(Status.CANCELLED, None, "stopped before it started")
        return outcome(Status.LOST, None, "its supervisor vanished and left no exit code")
    if verdict.exit == 0:
        return outcome(Status.SUCCEEDED, 0)
    if verdict.stopped:
        return outcome(Status.CANCELLED, verdict.exit, "stopped on request")
    if not start.container:
        return outcome(Status.FAILED, verdict.exit)
    state, code, oom, error = _inspected(verdict)
    if not state:
        engine = " ".join(start.engine)
        raise HostUnfitError(
            host,
            f"{engine} could not start the container of task {start.task} (status {verdict.exit})",
            hint="the engine's own message stands above",
        )
    if state == "created":
        return outcome(Status.FAILED, code, f"failed to start: {error or 'no reason given'}")
    if oom and code == OUT_OF_MEMORY:
        return outcome(Status.KILLED, code, "out of memory")
    if oom:
        return outcome(Status.FAILED, code, "an out-of-memory kill happened inside")
    return outcome(Status.FAILED, code)


def _inspected(verdict: Verdict) -> tuple[str, int, bool, str]:
    state, _, rest = verdict.inspect.partition(" ")
    code, _, rest = rest.partition(" ")
    oom, _, error = rest.partition(" ")
    return state, int(code) if code.isdigit() else 1, oom == "true", error.strip()
