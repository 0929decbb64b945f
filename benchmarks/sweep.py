# SPDX-License-Identifier: Apache-2.0
"""Measure a sweep of 250 short jobs on four hosts against GNU parallel over ssh.

All run at most as many jobs at a time on each host:

- ours: ``run --sweep``; each job gets a file with its value, and its output is pulled
- parallel: ``parallel --sshlogin`` of ``docker run``; a job's output is what it prints
- parallel --return: the same, but each job writes a file, which parallel copies back with rsync

They take turns. Adds the figures to build/bench.json.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import yaml
from report import add_pairs, pairs
from transfers import ADDRESS, Peer, time_in_turn

from mlcube_remote.sandbox import down, up
from mlcube_remote.sandbox.engine import BASE_IMAGE


@attrs.frozen(kw_only=True)
class Sweep:
    """Jobs on the hosts of a sandbox."""

    peers: Sequence[Peer]
    state: Path
    slots: int
    """Maximum number of jobs at a time on each host."""
    jobs: int

    @property
    def results(self) -> Path:
        """Directory for what parallel brings back."""
        return self.state / "results"

    def ours(self) -> None:
        """Run the sweep with mlcube-remote.

        Raises:
            RuntimeError: The output of a job is missing.
        """
        values = ",".join(str(number) for number in range(self.jobs))
        argv = [str(Path(sys.executable).with_name("mlcube-remote")), "run", "--quiet"]
        argv += [f"--inventory={self.state / 'slots.yaml'}", "--host=sandbox", "--task=copy"]
        argv += [f"--mlcube={self.state / 'cube'}", f"--sweep=rate={values}"]
        env = {**os.environ, "XDG_STATE_HOME": str(self.state / "client")}
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=env)
        self._check(len(list((self.state / "cube/results").glob("*/*/**/copy.yaml"))))

    def parallel(self) -> None:
        """Run the jobs with GNU parallel, and take what they print."""
        command = ["docker", "run", "--rm", "--entrypoint=echo", BASE_IMAGE]
        self._parallel([], f"{shlex.join(command)} rate: {{}}")

    def parallel_with_files(self) -> None:
        """Run the jobs with GNU parallel, and copy the file that each job writes.

        Raises:
            RuntimeError: The file of a job is missing.
        """
        command = ["docker", "run", "--rm", "--entrypoint=/bin/sh"]
        script = f"""{shlex.join(command)} --volume "$PWD/out:/out" {BASE_IMAGE} \\
            -c 'echo "rate: $1" >/out/"$1"' sh {{}}"""
        self._parallel(["--return", "out/{}"], f"mkdir -p out && {script}")
        self._check(len(list((self.results / "out").iterdir())))

    def _check(self, outputs: int) -> None:
        if outputs != self.jobs:
            raise RuntimeError(f"{outputs} outputs, expected {self.jobs}")

    def _parallel(self, options: Sequence[str], command: str) -> None:
        logins = [
            f"--sshlogin={self.slots}/{' '.join([*peer.ssh, ADDRESS])}" for peer in self.peers
        ]
        self.results.mkdir()
        subprocess.run(
            ["parallel", "--will-cite", *logins, *options, command],
            check=True,
            cwd=self.results,
            input="".join(f"{number}\n" for number in range(self.jobs)).encode(),
            stdout=subprocess.DEVNULL,
        )


def main() -> None:
    """Start a sandbox, measure, and print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=250, metavar="N")
    parser.add_argument("--hosts", type=int, default=4, metavar="N")
    parser.add_argument("--slots", type=int, default=4, metavar="N", help="jobs on each host")
    parser.add_argument("--rounds", type=int, default=1, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-bench-") as temporary:
        state = Path(temporary) / "sandbox"
        sandbox = up(options.hosts, state_dir=state)
        try:
            peers = [Peer(host=host, state=state) for host in sandbox.hosts]
            _write_inventory(state, options.slots)
            _write_cube(state / "cube")
            sweep = Sweep(peers=peers, state=state, slots=options.slots, jobs=options.jobs)
            _measure(sweep, options.rounds)
        finally:
            down(state_dir=state)


def _measure(sweep: Sweep, rounds: int) -> None:
    first = attrs.evolve(sweep, jobs=len(sweep.peers) * sweep.slots)
    first.ours()  # uploads the cube
    ways = {
        "ours": sweep.ours,
        "parallel": sweep.parallel,
        "parallel --return": sweep.parallel_with_files,
    }

    def forget() -> None:
        for folder in (sweep.results, sweep.state / "cube/results"):
            shutil.rmtree(folder, ignore_errors=True)

    taken = time_in_turn(ways, forget, rounds)
    name = f"sweep of {sweep.jobs} jobs, {sweep.slots} at a time on each host"
    add_pairs(pairs(name, taken, hosts=len(sweep.peers)))


def _write_inventory(state: Path, slots: int) -> None:
    inventory = yaml.safe_load((state / "hosts.yaml").read_text())
    for host in inventory["hosts"].values():
        host["slots"] = slots
    (state / "slots.yaml").write_text(yaml.safe_dump(inventory))


def _write_cube(folder: Path) -> None:
    (folder / "workspace").mkdir(parents=True)
    (folder / "workspace/train.yaml").write_text("rate: 0\n")
    # OmegaConf would interpolate a plain ${.
    script = r'cp "\${0#*=}" "\${1#*=}"'
    task = {
        "entrypoint": f"/bin/sh -c '{script}'",
        "parameters": {
            "inputs": {"config": {"type": "file", "default": "train.yaml"}},
            "outputs": {"copy": {"type": "file", "default": "copy.yaml"}},
        },
    }
    described = {"name": "sweep", "docker": {"image": BASE_IMAGE}, "tasks": {"copy": task}}
    (folder / "mlcube.yaml").write_text(yaml.safe_dump(described))


if __name__ == "__main__":
    main()
