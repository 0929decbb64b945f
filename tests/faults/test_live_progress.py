# SPDX-License-Identifier: Apache-2.0
"""What a terminal shows while real hosts work: bytes, steps of a build, a lost connection."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

from mlcube_remote.sandbox.engine import BASE_IMAGE, docker
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.hosts import HostFactory
from tests.support.interrupted_runs import GATE, Scenario
from tests.support.terminal import ClientOnTerminal

SIZE = 10_000_000
"""Bytes; more than the buffers of the connection."""

_STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

on_terminals = pytest.mark.parametrize(
    ("columns", "env"),
    [(80, {}), (120, {"NO_COLOR": "1"})],
    ids=["80", "120-without-colours"],
)


def shown_by(terminal: ClientOnTerminal) -> str:
    """Wait for the success of a client, and return all that it has shown."""
    try:
        assert terminal.end() == 0, terminal.everything
    finally:
        terminal.kill()
    return _STYLES.sub("", terminal.everything)


@on_terminals
def test_transfers_show_their_bytes_rate_and_remaining_time(
    scenario: Scenario, tmp_path: Path, columns: int, env: Mapping[str, str]
) -> None:
    copy = shell_task(
        'cp "${0#*=}" "${1#*=}"',
        inputs={"data": {**FILE, "default": "in.bin"}},
        outputs={"made": {**FILE, "default": "out.bin"}},
    )
    cube = write_cube(tmp_path / "large", {"count": copy}, name=f"large-{secrets.token_hex(4)}")
    (cube / "workspace/in.bin").write_bytes(secrets.token_bytes(SIZE))
    scenario.wire.rate = 2_000_000
    slow = attrs.evolve(scenario, cube=cube)
    shown = shown_by(ClientOnTerminal(slow.argv("run"), size=(24, columns), env=env))
    for stage in ("sync", "pull"):
        assert re.search(rf"{stage} \d+s  \S+ MB of up to 1\d\.\d MB, \S+ MB/s, \S+ left", shown), (
            shown
        )
    assert (cube / "workspace/out.bin").stat().st_size == SIZE


def test_without_a_terminal_a_transfer_is_a_line_each_ten_seconds(
    scenario: Scenario, tmp_path: Path
) -> None:
    count = shell_task('wc -c <"${0#*=}"', inputs={"data": {**FILE, "default": "in.bin"}})
    cube = write_cube(tmp_path / "large", {"count": count}, name=f"large-{secrets.token_hex(4)}")
    (cube / "workspace/in.bin").write_bytes(secrets.token_bytes(SIZE))
    scenario.wire.rate = 700_000
    done = attrs.evolve(scenario, cube=cube).call("run")
    assert (done.returncode, done.stdout) == (0, f"{SIZE}\n"), done.stderr
    line = rf"^{scenario.host.name}: sync: \S+ MB of up to \S+ MB, \S+ [kM]B/s, \S+ left$"
    assert len(re.findall(line, done.stderr, re.MULTILINE)) >= 1, done.stderr


@on_terminals
def test_a_lost_connection_is_a_state_with_its_countdown(
    gated: Scenario, columns: int, env: Mapping[str, str]
) -> None:
    terminal = ClientOnTerminal(gated.argv("run"), size=(24, columns), env=env)
    try:
        terminal.wait_for(f"line {GATE}")
        gated.wire.target, port = 1, gated.wire.target
        gated.wire.cut()
        terminal.wait_for("no connection, retry in ")
        gated.wire.target = port
        gated.wire.restore()
        gated.go()
    finally:
        shown = shown_by(terminal)
    assert re.search(r"run count \d+s  no connection, retry in \d+s \(", shown), shown
    assert gated.made("runs.txt") == "x\n"


@pytest.mark.parametrize("on_engine", ["docker", "podman"])
def test_a_build_shows_its_steps(ssh_host: HostFactory, tmp_path: Path, on_engine: str) -> None:
    image = f"mlcube-remote-test/steps-{secrets.token_hex(4)}:1"
    section = {"image": image, "build_context": ".", "build_strategy": "auto"}
    cube = write_cube(tmp_path / "cube", {"say": {}}, docker=section)
    nonce = secrets.token_hex(4)
    (cube / "Dockerfile").write_text(
        f"FROM {BASE_IMAGE}\nRUN echo {nonce}; sleep 3\nENTRYPOINT echo\n"
    )
    host = ssh_host(on_engine)
    argv = [sys.executable, "-m", "mlcube_remote", "run", f"--inventory={host.inventory}"]
    argv += [f"--host={host.name}", f"--mlcube={cube}", "--task=say"]
    try:
        shown = shown_by(ClientOnTerminal(argv, size=(24, 100)))
        assert re.search(rf"configure \d+s  step 2 of \d+: RUN echo {nonce}; sleep 3", shown), shown
    finally:
        docker("rmi", "--force", image)
