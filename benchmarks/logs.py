# SPDX-License-Identifier: Apache-2.0
"""Measure a task that prints 1.5 million lines, and its log, against plain ssh.

- ``run``, which follows the log of the task, against ``ssh host docker run`` of the same command.
- ``logs`` after the run, against ``ssh host cat`` of a file with the same lines.

All write to a file on this machine, and each must write all lines. They take turns. Adds the
figures to build/bench.json.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import yaml
from report import add_pairs, pairs
from transfers import ADDRESS, FOLDER, Peer, sandbox_peer, time_in_turn

from mlcube_remote.sandbox.engine import BASE_IMAGE

PRINT = 'for (i = 1; i <= {lines}; i++) print "step", i, "of {lines}: loss", 1 / i, "rate 0.001"'


@attrs.frozen
class Captured:
    """A command whose output goes to a file."""

    argv: Sequence[str]
    file: Path
    lines: int
    """Number of lines that it must print."""
    env: dict[str, str] = attrs.field(factory=dict)

    def run(self) -> None:
        """Run the command.

        Raises:
            RuntimeError: Its output does not have all lines.
        """
        with self.file.open("wb") as file:
            subprocess.run(self.argv, stdout=file, check=True, env=os.environ | self.env)
        with self.file.open("rb") as file:
            count = sum(1 for _ in file)
        if count != self.lines:
            raise RuntimeError(f"{shlex.join(self.argv)}: {count} lines, expected {self.lines}")


def main() -> None:
    """Start a sandbox, measure, and print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_500_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    options = parser.parse_args()
    with sandbox_peer() as peer:
        _measure(peer, options.lines, options.rounds)


def _measure(peer: Peer, lines: int, rounds: int) -> None:
    program = f"BEGIN {{ {PRINT.format(lines=lines)} }}"
    command = ["docker", "run", "--rm", "--entrypoint=awk", BASE_IMAGE, program]
    peer.run(f"mkdir -p {FOLDER} && {shlex.join(command)} >{FOLDER}/log")

    def plain(words: Sequence[str]) -> Callable[[], None]:
        return Captured([*peer.ssh, ADDRESS, shlex.join(words)], peer.state / "out", lines).run

    def ours(*words: str) -> Callable[[], None]:
        words = (str(Path(sys.executable).with_name("mlcube-remote")), *words)
        argv = [*words, f"--inventory={peer.state / 'hosts.yaml'}", f"--host={peer.host.name}"]
        env = {"XDG_STATE_HOME": str(peer.state / "client")}
        return Captured(argv, peer.state / "out", lines, env).run

    cube = _write_cube(peer.state / "cube", program)
    run = ours("run", f"--mlcube={cube}", "--task=print", "--quiet")
    run()  # uploads the cube
    nothing: Callable[[], object] = lambda: None  # noqa: E731
    ways = {"ours": run, "ssh docker run": plain(command)}
    add_pairs(pairs(f"run, {lines} lines of output", time_in_turn(ways, nothing, rounds)))
    ways = {"ours": ours("logs"), "ssh cat": plain(["cat", f"{FOLDER}/log"])}
    add_pairs(pairs(f"logs, {lines} lines", time_in_turn(ways, nothing, rounds)))


def _write_cube(folder: Path, program: str) -> Path:
    (folder / "workspace").mkdir(parents=True)
    task = {"entrypoint": shlex.join(["awk", program]), "parameters": {}}
    described = {"name": "lines", "docker": {"image": BASE_IMAGE}, "tasks": {"print": task}}
    (folder / "mlcube.yaml").write_text(yaml.safe_dump(described))
    return folder


if __name__ == "__main__":
    main()
