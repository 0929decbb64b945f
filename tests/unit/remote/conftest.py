# SPDX-License-Identifier: Apache-2.0
"""Calling the shell library under every shell that may be a host's /bin/sh."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlcube_remote.remote import definitions, supervisor
from mlcube_remote.transport.quoting import quote_words, render_call
from tests.support.waiting import wait_for

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}

FAKE_ENGINE = r"""#!/bin/sh
# A container engine with one container, whose state is in files beside this script.
here=${0%/*}
case "$*" in
inspect*.Id*) cat "$here/labels" || { echo "Error: No such container" >&2; exit 1; } ;;
inspect*) cat "$here/state" || { echo "Error: No such container" >&2; exit 1; } ;;
wait*) while grep -q running "$here/state"; do sleep 0.1; done; echo 7 ;;
rm* | stop*) echo "$@" >>"$here/calls"; rm -f "$here/state" ;;
esac
"""

Completed = subprocess.CompletedProcess[bytes]
Call = Callable[..., Completed]


@pytest.fixture(params=SHELLS)
def call(request: pytest.FixtureRequest, tmp_path: Path) -> Call:
    """Return what calls a function of the library, with a home of the test's own."""
    name, *options = SHELLS[request.param]
    shell = shutil.which(name)
    if shell is None:
        pytest.fail(f"{name} is needed: make test installs it")
    argv = [shell, *options]

    def run(function: str, *args: str, **environment: str) -> Completed:
        # What a host's shell is told, and no more.
        known = "".join(definitions([function, *args]).values()).encode()
        script = b"umask 077\n" + known + render_call(function, args) + b"\n"
        return subprocess.run(
            [*argv, "-s"],
            input=script,
            capture_output=True,
            check=False,
            timeout=30,
            env={**os.environ, "HOME": str(tmp_path), **environment},
        )

    return run


def facts(done: Completed) -> list[tuple[str, str]]:
    """Return the records of an answer."""
    assert done.returncode == 0, done.stderr
    return records(done)


def records(done: Completed) -> list[tuple[str, str]]:
    """Return the records of an answer, whatever its status."""
    parts = done.stdout.decode().split("\0")[:-1]
    return [(key, value) for key, _, value in (part.partition("=") for part in parts)]


def reserve(call: Call, job: Path, lock: Path | str = "") -> Completed:
    """Claim a job, and a lock for it."""
    job.parent.mkdir(exist_ok=True)
    return call("mlcr_claim_job", str(job), f'{{"job": "{job.name}"}}', str(lock))


def launch(
    call: Call,
    job: Path,
    *scripts: str,
    limit: int = 0,
    timeout: str = "",
    secrets: str = "",
    engine: str = "true",
    container: str = "",
    own: str = "",
    expected: str = "0",
) -> Completed:
    """Claim a job and start it; each script is a task."""
    words: list[str] = []
    for number, script in enumerate(scripts):
        argv = quote_words(["sh", "-c", script])
        words += [f"task{number}", argv, quote_words([engine]), container, timeout, own]
    reserve(call, job)
    return call("mlcr_launch_job", str(job), supervisor(), str(limit), secrets, expected, *words)


def state(call: Call, job: Path) -> str:
    """Return how a job stands."""
    return call("mlcr_print_job_state", str(job)).stdout.decode().strip()


def verdict(call: Call, job: Path, number: int = 1) -> dict[str, str]:
    """Return how a task stands."""
    return dict(facts(call("mlcr_report_task", str(job), str(number))))


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    folder = tmp_path / "engine"
    folder.mkdir()
    program = folder / "docker"
    program.write_text(FAKE_ENGINE)
    program.chmod(0o755)
    return program


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """Give a pipe that tasks wait at; it is open when the test has ended."""
    pipe = tmp_path / "gate"
    os.mkfifo(pipe)
    yield pipe
    with contextlib.suppress(OSError):  # nobody waits
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


def kill_supervisor(job: Path) -> None:
    wait_for(lambda: (job / "owner").exists() and (job / "tasks/1/started").exists())
    pid = (job / "owner").read_text().split()[1]
    os.kill(int(pid), signal.SIGKILL)
    # A signal is sent at once and acted on when the kernel comes to it.
    wait_for(lambda: not _runs(pid))


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
