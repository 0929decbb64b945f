# SPDX-License-Identifier: Apache-2.0
"""Call the shell library in every shell that may be a host's /bin/sh."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mlcube_remote.remote import definitions, library, supervisor
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


OURS = f"abc123 run1 {os.getuid()}\n"
"""Id, run and owner of the fake engine's container, if it is the job's."""
FOREIGN = {"run": f"abc123 run2 {os.getuid()}\n", "user": "abc123 run1 4321\n", "none": "abc123\n"}
"""The same for containers that are not the job's."""
DAY = 86400

Completed = subprocess.CompletedProcess[bytes]


Call = Callable[..., Completed]


@pytest.fixture(params=SHELLS)
def call(request: pytest.FixtureRequest, tmp_path: Path) -> Call:
    """Return a function that calls the library, with a home directory for this test."""
    name, *options = SHELLS[request.param]
    shell = shutil.which(name)
    if shell is None:
        pytest.fail(f"{name} is needed: make test installs it")
    argv = [shell, *options]

    def run(function: str, *args: str, **environment: str) -> Completed:
        # Only the functions that a host's shell would receive.
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


def claim(call: Call, job: Path, lock: Path | str = "", outputs: str = "") -> Completed:
    """Claim a job and its lock."""
    job.parent.mkdir(exist_ok=True)
    return call("mlcr_claim_job", str(job), f'{{"job": "{job.name}"}}', str(lock), "", outputs)


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
    begins: Sequence[str] = (),
    mounts: Sequence[str] = (),
    image: Sequence[str] = (),
    claimed: Sequence[str] = ("", "", ""),
    expected: str = "0",
    outputs: str = "",
) -> Completed:
    """Claim a job and start it; each script is a task."""
    words: list[str] = []
    for number, script in enumerate(scripts):
        begin = begins[number] if begins else ""
        argv = quote_words(["sh", "-c", script])
        words += [f"task{number}", argv, quote_words([engine]), container, timeout, own, begin]
        words += [quote_words(mounts), quote_words(image)]
    claim(call, job, outputs=outputs)
    settings = (supervisor(), str(limit), secrets, quote_words(claimed), expected)
    return call("mlcr_launch_job", str(job), *settings, *words)


def state(call: Call, job: Path) -> str:
    """Return the state of a job."""
    return call("mlcr_print_job_state", str(job)).stdout.decode().strip()


def identify_process(pid: int) -> str:
    """Return the line by which the library knows a process of this machine."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {pid} {ticks} {platform.node()}\n"


def task_report(call: Call, job: Path, number: int = 1) -> dict[str, str]:
    """Return the report about a task."""
    return dict(facts(call("mlcr_report_task", str(job), str(number))))


def write_program(path: Path, text: str) -> Path:
    """Write a program of this text."""
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    folder = tmp_path / "engine"
    folder.mkdir()
    return write_program(folder / "docker", FAKE_ENGINE)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """Return a pipe that tasks wait for; it is opened at the end of the test."""
    pipe = tmp_path / "gate"
    os.mkfifo(pipe)
    yield pipe
    with contextlib.suppress(OSError):  # no task waits
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


def kill_supervisor(job: Path) -> None:
    """Kill the supervisor of a job once its first task has started."""
    started = job / "tasks/1/started"
    # The file exists before its content: date(1) would write after the supervisor is dead, and
    # change the time that a test has given the file.
    wait_for(lambda: (job / "owner").exists() and started.exists() and started.stat().st_size)
    pid = (job / "owner").read_text().split()[1]
    os.kill(int(pid), signal.SIGKILL)
    # The kernel may deliver the signal later.
    wait_for(lambda: not is_alive(pid))


def is_alive(pid: str) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def calls(engine: Path) -> list[str]:
    """Return the calls that changed the fake engine's container."""
    file = engine.parent / "calls"
    return file.read_text().splitlines() if file.exists() else []


def age(path: Path, seconds: float = 2 * DAY) -> None:
    """Make a file look older."""
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "jobs" / "j1"


@contextlib.contextmanager
def connected(job: Path, lock: Path, group: str = "") -> Iterator[None]:
    """Claim a job and a lock with a connection that lasts as long as the block."""
    job.parent.mkdir(exist_ok=True)
    script = library().encode() + render_call("mlcr_claim_job", [str(job), "{}", str(lock), group])
    client = subprocess.Popen(["sh", "-c", "sh -s; exec sleep 60"], stdin=subprocess.PIPE)
    try:
        assert client.stdin is not None
        with client.stdin as stdin:
            stdin.write(script)
        # Before that, the claim would name another process if this one had ended.
        wait_for((job / "preparing").exists)
        yield
    finally:
        client.kill()
        client.wait()
