# SPDX-License-Identifier: Apache-2.0
"""A docker on the host that lies: answers without end, huge numbers, terminal sequences."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import on
from tests.support.cubes import shell_task, write_cube
from tests.support.terminal import require_text

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

EVIL = r"\033]0;owned\007\033[2J\033[31m\r"
HUGE = "9" * 5000
SCRIPTS = {
    # what the answer is, in each question
    "terminal": f"printf '{EVIL}no such thing{EVIL}\\n' >&2; printf '{EVIL}linux/amd64\\n'; exit 1",
    "terminal-success": f"printf '{EVIL}linux/{EVIL}amd64\\n'",
    "endless": "exec yes linux/amd64",
    "endless-error": "exec yes 'no such thing' >&2",
    "huge": f"echo exited {HUGE} {HUGE} {HUGE}",
    "binary": "head -c 100000 /dev/urandom; head -c 100000 /dev/urandom >&2; exit 3",
}

EXPECTED = {
    "terminal": b"docker cannot be used",
    "terminal-success": b"is for \\x0damd64, the host is amd64",
    "endless": b"with more than 1 MiB",
    "endless-error": b"with more than 1 MiB",
}


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    task = shell_task("echo it runs", outputs={"out": "out/"})
    return write_cube(tmp_path_factory.mktemp("cube"), {"say": task})


@pytest.fixture(scope="module")
def host(ssh_host: HostFactory) -> SshHost:
    return ssh_host("docker", private=True)


def be_hostile(host: SshHost, script: str) -> None:
    text = f"#!/bin/sh\n{script}\n"
    docker = "/usr/local/bin/docker"  # before the real one on the PATH
    host.exec(["sh", "-c", f"printf '%s' \"$0\" >{docker}; chmod 755 {docker}", text])
    found = host.exec(["su", "mlcube", "-c", "command -v docker"]).output
    assert found.decode().strip() == docker


@pytest.mark.parametrize("kind", SCRIPTS)
def test_every_command_ends_and_shows_only_text(host: SshHost, cube: Path, kind: str) -> None:
    be_hostile(host, SCRIPTS[kind])
    began = time.monotonic()
    done = on(host, cube, "--task=say", "--timeout=3s")
    assert EXPECTED.get(kind, b"") in done.stderr
    require_text(done.stdout + done.stderr)
    assert b"a bug in mlcube-remote" not in done.stderr
    assert b"Traceback" not in done.stderr
    for command in (("hosts", "check", host.name), ("ps", f"--host={host.name}")):
        argv = [sys.executable, "-m", "mlcube_remote", *command, f"--inventory={host.inventory}"]
        shown = subprocess.run(argv, capture_output=True, check=False, timeout=120)
        require_text(shown.stdout + shown.stderr)
        assert b"Traceback" not in shown.stderr
    assert time.monotonic() - began < 150
