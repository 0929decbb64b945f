# SPDX-License-Identifier: Apache-2.0
"""Measure how long it takes until a batch job of Slurm shows its first line here.

- ours: a warm, unchanged ``run`` of hello_world, until it prints the line of the task
- by hand: ``ssh``, then ``sbatch`` of the same command of Apptainer and ``tail -F`` of its output
- with a loop: the same, but a loop looks for the file 20 times a second, as ``tail`` does not

All log in to the login node of a sandbox cluster. They take turns. Each waits until the queue is
empty, and then one to two seconds: Slurm starts jobs in a rhythm of its own, so with a fixed pause
one way could always hit a good moment. The seconds are medians; the ratio is that of the medians
of one run. Adds the figures to build/bench.json.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

import attrs
from contenders import Contender, ours
from report import add_pairs, pairs
from transfers import ADDRESS, Peer, time_in_turn

from mlcube_remote.sandbox import down, up

LINE = b"Hello, Alice! Nice to meet you.\n"
_OWN_FILES = re.compile(r" --bind \S*/jobs/\S*| --pwd \S+")
"""Options of our command for a home and a /tmp of each task, which a user would omit."""
_EMPTY_QUEUE = 'while [ -n "$(squeue --noheader)" ]; do sleep 0.1; done'
_BY_HAND = """file=$HOME/by-hand.log
rm -f "$file"
sbatch --parsable --output="$file" --wrap={command} >&2
{wait}
exec timeout 30 tail -n +1 -F "$file" 2>/dev/null"""
_GOLDEN = 0.618
"""Multiples of it, without their whole part, are spread evenly."""
_LOOP = 'until [ -s "$file" ]; do sleep 0.05; done'


@attrs.define
class Way:
    """A contender that prints :data:`LINE` as soon as the job has started."""

    contender: Contender
    ends: bool
    """Whether it ends with the job."""
    waiting: list[subprocess.Popen[bytes]] = attrs.field(factory=list, init=False)
    """Processes that have printed the line, and were not waited for."""

    def wait_for_line(self) -> None:
        """Start it, and wait for the line; it continues until :meth:`end`.

        Raises:
            RuntimeError: It ended without the line.
        """
        child = self.contender.start(subprocess.PIPE)
        self.waiting.append(child)
        assert child.stdout is not None
        line = child.stdout.readline()
        if line != LINE:
            raise RuntimeError(f"{shlex.join(self.contender.argv)}: printed {line!r}")

    def end(self) -> None:
        """Wait for the end of its job, if it ends with it; or else end it."""
        while self.waiting:
            child = self.waiting.pop()
            if not self.ends:
                child.terminate()
            child.wait()


def main() -> None:
    """Start a cluster, measure, and print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-bench-") as temporary:
        state = Path(temporary) / "sandbox"
        sandbox = up(1, "slurm", state_dir=state)
        try:
            _measure(Peer(host=sandbox.hosts[0], state=state), options.rounds)
        finally:
            down(state_dir=state)


def _measure(peer: Peer, rounds: int) -> None:
    run = ours([peer.host], peer.state)
    verbose = [word for word in run.argv if word != "--quiet"] + ["--verbose"]
    first = subprocess.run(
        verbose, env=os.environ | run.env, check=True, capture_output=True, text=True
    )
    (command,) = re.findall(r"run hello: (apptainer run .*)$", first.stderr, re.MULTILINE)

    def by_hand(wait: str) -> Way:
        plain = shlex.quote(_OWN_FILES.sub("", command))
        script = _BY_HAND.format(command=plain, wait=wait)
        argv = [*peer.ssh, ADDRESS, "sh -s"]
        return Way(Contender("by hand", argv, script.encode()), ends=False)

    ways = {
        "ours": Way(run, ends=True),
        "sbatch and tail by hand": by_hand(""),
        "sbatch and tail with a loop": by_hand(_LOOP),
    }

    turns = itertools.count()

    def before_each() -> None:
        for way in ways.values():
            way.end()
        peer.run(_EMPTY_QUEUE)
        # The node ends the job before; the parts of a second are spread evenly.
        time.sleep(1 + next(turns) * _GOLDEN % 1)

    taken = time_in_turn(
        {name: way.wait_for_line for name, way in ways.items()}, before_each, rounds
    )
    before_each()
    add_pairs(pairs("first line of a batch job", taken))


if __name__ == "__main__":
    main()
