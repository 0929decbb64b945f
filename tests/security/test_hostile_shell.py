# SPDX-License-Identifier: Apache-2.0
"""A ``/bin/sh`` on the host that lies: it never answers, never ends, or knows the protocol."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import Completed, on
from tests.support.cubes import shell_task, write_cube
from tests.support.terminal import require_text

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

EVIL = r"\033]0;owned\007\033[2J\033[31m"

FIND_MARKER = r"""
while IFS= read -r line; do
    case $line in *"printf '%s%s\n'"*)
        set -- $line
        marker=$(printf '%s' "$3$4" | tr -d "';>&2")
        break ;;
    esac
done
echo "$marker" >&2; echo "$marker"
"""
"""Answers as an honest shell does, and then has the marker."""

SHELLS = {
    "no answer": "exec sleep 1000",
    "the end": "exit 0",
    "an endless answer": "exec yes",
    "an endless line": "exec cat /dev/zero",
    "binary": "exec head -c 300000 /dev/urandom",
    "terminal sequences": f"printf '{EVIL}\\n'; printf '{EVIL}\\n' >&2; exit 3",
    "markers without end": f'{FIND_MARKER} exec yes "$marker 0"',
    "a marker and silence": f"{FIND_MARKER} exec sleep 1000",
    "a marker and noise": f"{FIND_MARKER} exec cat /dev/urandom",
    "noise beside honest answers": 'yes & exec /bin/sh.real "$@"',
}


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    task = shell_task("echo it runs", outputs={"out": "out/"})
    return write_cube(tmp_path_factory.mktemp("cube"), {"say": task})


@pytest.fixture(scope="module")
def host(ssh_host: HostFactory) -> Iterator[SshHost]:
    host = ssh_host("docker", private=True)
    host.exec(["cp", "/bin/sh", "/bin/sh.real"])
    yield host
    host.exec(["cp", "/bin/sh.real", "/bin/sh"])


def _run(argv: list[str]) -> Completed:
    return subprocess.run(argv, capture_output=True, check=False, timeout=120)


@pytest.mark.parametrize("kind", SHELLS)
def test_every_command_ends_with_an_error_in_words(host: SshHost, cube: Path, kind: str) -> None:
    text = f"#!/bin/bash\n{SHELLS[kind]}\n"
    replace = 'rm -f /bin/sh; printf "%s" "$0" >/bin/sh; chmod 755 /bin/sh'
    host.exec(["/bin/bash", "-c", replace, text])
    started = time.monotonic()
    argv = (sys.executable, "-m", "mlcube_remote", "ps", f"--host={host.name}")
    # A shell that never answers costs the time limit once.
    with ThreadPoolExecutor(1) as threads:
        listing = threads.submit(_run, [*argv, f"--inventory={host.inventory}"])
        done = on(host, cube, "--task=say", "--timeout=3s")
        listed = listing.result()
    assert done.returncode in {118, 120, 121, 122, 123}, done.stderr.decode(errors="replace")
    assert b"it runs" not in done.stdout
    for shown in (done.stdout + done.stderr, listed.stdout + listed.stderr):
        require_text(shown)
        assert b"a bug in mlcube-remote" not in shown
        assert b"Traceback" not in shown
    assert time.monotonic() - started < 150
