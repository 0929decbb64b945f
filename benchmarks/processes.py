# SPDX-License-Identifier: Apache-2.0
"""Count the processes that start on a sandbox host, by tracing its SSH server."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import psutil

_CALL = re.compile(r"^(?P<process>\d+) +(?P<begin>.*?)(?P<unfinished> <unfinished \.\.\.>)?$")
_RESUMED = re.compile(r"^<\.\.\. \w+ resumed>")
_EXECUTED = re.compile(r'^execve\("([^"]*)".* = 0$')
_CREATED = re.compile(r"^(?:clone3?|v?fork)\(.* = \d+$")


@attrs.frozen
class Started:
    """What was started on a host."""

    processes: int
    """Processes that were created, without threads."""
    programs: int
    """Programs that were executed; a process may execute several, one after the other."""
    docker_clients: int
    """How many of these programs were Docker's client."""


def count_started(server: psutil.Process, action: Callable[[], object]) -> Started:
    """Return what an SSH server and its descendants start during an action.

    Counts what connections that are already open start, too.

    Args:
        server: The server's process, as this machine sees it.
        action: What to do. It returns when the host has nothing left to do.

    Raises:
        RuntimeError: strace may not trace the server.
    """
    running = (server, *server.children(recursive=True))
    attach = [f"--attach={process.pid}" for process in running]
    with tempfile.NamedTemporaryFile(prefix="mlcube-remote-bench-", suffix=".strace") as output:
        tracer = subprocess.Popen(
            [
                *("strace", "--follow-forks", "--trace=execve,clone,clone3,fork,vfork"),
                *("--signal=none", f"--output={output.name}", *attach),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert tracer.stderr is not None
        with tracer:
            if "attached" not in (said := tracer.stderr.readline()):
                raise RuntimeError(f"strace cannot trace the SSH server: {said.strip()}")
            try:
                action()
            finally:
                tracer.terminate()
                tracer.stderr.read()
        return _count(Path(output.name))


def _count(trace: Path) -> Started:
    calls = list(_whole_calls(trace.read_text().splitlines()))
    programs = [found[1] for call in calls if (found := _EXECUTED.match(call))]
    created = [call for call in calls if _CREATED.match(call) and "CLONE_THREAD" not in call]
    clients = [program for program in programs if Path(program).name == "docker"]
    return Started(processes=len(created), programs=len(programs), docker_clients=len(clients))


def _whole_calls(lines: list[str]) -> Iterator[str]:
    """Yield each system call in one piece: strace splits a call during which another one ends."""
    unfinished: dict[str, str] = {}
    for line in lines:
        if (found := _CALL.match(line)) is None:
            continue
        process, text = found["process"], found["begin"]
        if found["unfinished"]:
            unfinished[process] = text
        elif resumed := _RESUMED.match(text):
            yield unfinished.pop(process, "") + text[resumed.end() :]
        else:
            yield text
