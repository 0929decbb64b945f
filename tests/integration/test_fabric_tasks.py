# SPDX-License-Identifier: Apache-2.0
"""The tasks for fabfiles, and the page about Fabric, on real hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.tracked import copy_tracked

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

GREET = shell_task(
    'echo "hello $(cat "${0#*=}")" >"${1#*=}"; echo said',
    inputs={"name": {**FILE, "default": "name"}},
    outputs={"greeting": {**FILE, "default": "greeting"}},
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    root = write_cube(tmp_path / "cube", {"greet": GREET})
    (root / "workspace/name").write_text("Alice\n")
    return root


@pytest.fixture
def host(ssh_host: HostFactory) -> SshHost:
    return ssh_host("docker")


def fab(folder: Path, host: SshHost, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "fabfile.py").write_text("from mlcube_remote.fabric import namespace\n")
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "fabric", *arguments],
        cwd=folder,
        env={**os.environ, "MLCUBE_REMOTE_INVENTORY": str(host.inventory)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_tasks_do_what_the_commands_do(host: SshHost, cube: Path, tmp_path: Path) -> None:
    on_host = ("-H", host.name)
    (cube / "workspace/other").write_text("Bob\n")
    words = ("mlcube.run", "--mlcube=cube", "--task=greet", "--parameter=name=other")
    done = fab(tmp_path, host, *on_host, *words)
    assert (done.returncode, done.stdout) == (0, "said\n"), done.stderr
    assert (cube / "workspace/greeting").read_text() == "hello Bob\n"

    done = fab(tmp_path, host, *on_host, "mlcube.run", "--mlcube=cube", "--task=greet", "--detach")
    assert done.returncode == 0, done.stderr
    run = done.stdout.split()[-1]
    assert fab(tmp_path, host, "mlcube.logs", run, "--follow").stdout == "said\n"
    assert run in fab(tmp_path, host, *on_host, "mlcube.ps", "--all").stdout
    (cube / "workspace/greeting").unlink()
    done = fab(tmp_path, host, *on_host, "mlcube.pull", run, "--only=greeting")
    assert done.returncode == 0, done.stderr
    assert (cube / "workspace/greeting").read_text() == "hello Alice\n"


def test_errors_of_the_tasks_end_fab_with_the_exit_code_of_the_command(
    host: SshHost, cube: Path, tmp_path: Path
) -> None:
    done = fab(tmp_path, host, "-H", host.name, "mlcube.run", "--mlcube=cube", "--task=gret")
    assert done.returncode == 2
    assert "unknown task 'gret' (did you mean 'greet'?)" in done.stderr
    assert "Traceback" not in done.stderr
    done = fab(tmp_path, host, "mlcube.run", "--mlcube=cube", "--task=greet")
    assert "no host is named" in done.stderr
    done = fab(tmp_path, host, "-i", "key", "-H", host.name, "mlcube.ps")
    assert done.returncode == 2
    assert "identity_file in hosts.yaml" in done.stderr
    (tmp_path / "none").touch()
    text = host.inventory.read_text()
    wrong = tmp_path / "hosts.yaml"
    wrong.write_text(re.sub(r"known_hosts: .*", f"known_hosts: {tmp_path}/none", text))
    words = ("mlcube.run", "--mlcube=cube", "--task=greet", f"--inventory={wrong}")
    done = fab(tmp_path, host, "-H", host.name, *words)
    assert done.returncode == 120
    assert "is unknown" in done.stderr


def test_the_page_about_fabric_works_from_top_to_bottom(tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/fabric.md").read_text()
    blocks = re.findall(r"<!-- tested(?:: (\S+))? -->\n```(\w+)\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 6
    clone, state = tmp_path / "clone", tmp_path / "state"
    copy_tracked(ROOT / "examples", clone / "examples")
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(state),
        "MLCUBE_REMOTE_INVENTORY": str(state / "mlcube-remote/sandbox/hosts.yaml"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }

    def run(*words: str) -> str:
        done = subprocess.run(
            words,
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    shown = ""
    try:
        run("mlcube-remote", "sandbox", "up", "--hosts", "2")
        for name, language, text in blocks:
            if name:
                (clone / name).write_text(text)
            elif language == "sh":
                shown += run("sh", "-e", "-c", text)
            else:
                shown += run(sys.executable, "-W", "error", "-c", text)
    finally:
        run("mlcube-remote", "sandbox", "down")
    assert shown.count("Hello, Alice!") >= 3
    assert "mlcube.configure" in shown
    assert "this is sandbox1" in shown
