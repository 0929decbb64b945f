# SPDX-License-Identifier: Apache-2.0
"""Interrupts of a run on the host ``local``, whose processes are those of this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import again
from tests.support.cubes import shell_task, write_cube
from tests.support.interrupted_runs import read_client, run_id_in
from tests.support.terminal import ClientOnTerminal

TASK = shell_task(
    'trap "echo stopped; exit 3" TERM; echo waits; '
    'until [ -e "${0#*=}/go" ]; do sleep 0.1; done; echo made >"${0#*=}/made"',
    outputs={"out": {"type": "directory", "default": "out/"}},
)


@pytest.fixture
def command(engine: None, tmp_path: Path) -> Iterator[list[str]]:
    """Return the command that runs a task, which waits for a file, on this machine."""
    write_cube(tmp_path / "cube", {"wait": TASK})
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(f"hosts: {{local: {{remote_root: {tmp_path}/root}}}}")
    program = [sys.executable, "-m", "mlcube_remote", "run", f"--inventory={inventory}"]
    yield [*program, f"--mlcube={tmp_path}/cube", "--host=local", "--task=wait"]
    again("stop", "--grace=1s", "last")


def require_whole_run(tmp_path: Path, run_id: str) -> None:
    """Let the task go on, and require that it was not touched."""
    out = tmp_path / "cube/workspace/out"
    (out / "go").touch()
    attached = again("attach", run_id)
    assert attached.returncode == 0, attached.stderr.decode()
    assert (out / "made").read_text() == "made\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_client_that_is_asked_to_end_leaves_its_job_alone(
    command: list[str], tmp_path: Path, number: int
) -> None:
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as client:
        read_client(client, "waits\n")
        client.send_signal(number)
        _, messages = client.communicate(timeout=60)
    assert client.returncode == 130, messages
    assert "still runs on" in messages
    require_whole_run(tmp_path, run_id_in(messages))


@pytest.mark.parametrize(("answer", "meaning"), [("d\r", "detaching"), ("s\r", "stopping")])
def test_an_interrupt_on_a_terminal_asks_first(
    request: pytest.FixtureRequest,
    command: list[str],
    tmp_path: Path,
    answer: str,
    meaning: str,
) -> None:
    terminal = ClientOnTerminal(command, size=(40, 100))
    request.addfinalizer(terminal.kill)
    terminal.wait_for("waits")
    terminal.type("\x03")
    terminal.wait_for("[d/s]")
    terminal.type(answer)
    terminal.wait_for(meaning)
    assert terminal.end() == 130
    run_id = run_id_in(terminal.everything)
    if meaning == "stopping":
        assert "stopped" in terminal.everything
        assert again("wait", run_id).returncode == 130
    else:
        require_whole_run(tmp_path, run_id)
