# SPDX-License-Identifier: Apache-2.0
"""Measure how an image gets to hosts without a registry, in turn and on the same hosts.

- ours: ``configure --ship-image``; the first host has the image, all others lack it
- pipe: ``docker save | gzip | ssh HOST docker load`` from the first host to each other one, at once
- build: ``configure`` without ``--ship-image``, so that each host builds the image

Then the same after an edit: the hosts have the image of the last build, and only its last layer is
new. Hosts are containers with engines of their own on this machine, which is also the client. It
writes build/bench-ship-image.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import yaml
from contenders import ROOT
from transfers import ADDRESS, Peer, time_in_turn

from mlcube_remote.sandbox import down, up
from mlcube_remote.sandbox.engine import BASE_IMAGE

IMAGE = "mlcube-remote-bench/ship:1"
_FORGET = f"docker image rm --force {IMAGE} >/dev/null 2>&1; docker image prune --force >/dev/null"
_RECIPE = f"FROM {BASE_IMAGE}\nCOPY data /data\nCOPY edit /edit\n"
_SENT = re.compile(r"image from \S+, ([\d.]+ \w+) sent")


@attrs.frozen(kw_only=True)
class Fleet:
    """The hosts, and the cube. The first host has the image."""

    peers: list[Peer]
    state: Path
    cube: Path

    def configure(self, *options: str) -> str:
        """Run ``configure`` on all hosts, and return what it reports."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "mlcube_remote", "configure", "--host=all"),
                *(f"--inventory={self.state / 'hosts.yaml'}", f"--mlcube={self.cube}", *options),
            ],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "XDG_STATE_HOME": str(self.state)},
        )
        return done.stderr

    def ship(self) -> str:
        """Send the image of the first host to all others."""
        return self.configure(f"--ship-image={self.peers[0].host.name}")

    def pipe(self) -> None:
        """Copy the image from the first host to each other one, as people do by hand."""
        with ThreadPoolExecutor(len(self.peers)) as threads:
            list(threads.map(self._copy, self.peers[1:]))

    def _copy(self, peer: Peer) -> None:
        words = " ".join([*self.peers[0].ssh, ADDRESS])
        target = " ".join([*peer.ssh, ADDRESS])
        script = f"{words} 'docker save {IMAGE} | gzip -1' | {target} 'gunzip | docker load'"
        subprocess.run(["sh", "-c", script], check=True, stdout=subprocess.DEVNULL)

    def forget(self, *, everywhere: bool = False) -> None:
        """Remove the image from all hosts but the first, and what builds have cached."""
        for peer in self.peers if everywhere else self.peers[1:]:
            peer.run(_FORGET)

    def edit(self, text: str) -> None:
        """Change the last layer of the image."""
        (self.cube / "edit").write_text(text)


def main() -> None:
    """Start a sandbox, measure, and print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=16, metavar="N")
    parser.add_argument("--size", type=int, default=300, metavar="MB", help="data in the image")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-bench-") as temporary:
        state = Path(temporary) / "sandbox"
        sandbox = up(options.hosts, "nested", state_dir=state)
        try:
            peers = [Peer(host=host, state=state) for host in sandbox.hosts]
            cube = _write_cube(Path(temporary) / "cube", options.size)
            fleet = Fleet(peers=peers, state=state, cube=cube)
            row = {"hosts": options.hosts, "MB": options.size, **_measure(fleet, options.rounds)}
            target = ROOT / "build/bench-ship-image.json"
            target.parent.mkdir(exist_ok=True)
            target.write_text(json.dumps(row, indent=2) + "\n")
            print(json.dumps(row, indent=2), flush=True)
        finally:
            down(state_dir=state)


def _write_cube(folder: Path, size: int) -> Path:
    """Write a cube whose image has ``size`` MB that compress to about half, as programs do."""
    (folder / "workspace").mkdir(parents=True)
    with (folder / "data").open("wb") as file:
        for _ in range(size):
            file.write(os.urandom(500_000) + bytes(500_000))
    (folder / "edit").write_text("0")
    (folder / "Dockerfile").write_text(_RECIPE)
    docker = {"image": IMAGE, "build_strategy": "auto"}
    task = {"entrypoint": "true", "parameters": {}}
    described = {"name": "ship", "docker": docker, "tasks": {"do": task}}
    (folder / "mlcube.yaml").write_text(yaml.safe_dump(described))
    return folder


def _measure(fleet: Fleet, rounds: int) -> dict[str, float | str]:
    fleet.configure()
    fleet.forget()
    sent = _SENT.findall(fleet.ship())[0]
    cold = time_in_turn({"ours": fleet.ship, "pipe": fleet.pipe}, fleet.forget, rounds)

    def forget_everywhere() -> None:
        fleet.forget(everywhere=True)

    built = time_in_turn({"build": fleet.configure}, forget_everywhere, rounds)
    fleet.ship()
    edits = iter(range(1, 1000))

    def edit() -> None:
        fleet.edit(str(next(edits)))

    warm = time_in_turn({"ours": fleet.ship}, edit, rounds)
    fleet.edit("last")
    return {
        "sent": sent,
        "ours_s": cold["ours"],
        "pipe_s": cold["pipe"],
        "build_s": built["build"],
        "edit_s": warm["ours"],
        "edit_sent": _SENT.findall(fleet.ship())[0],
        "ours/pipe": round(cold["ours"] / cold["pipe"], 2),
        "ours/build": round(cold["ours"] / built["build"], 2),
        "edit/pipe": round(warm["ours"] / cold["pipe"], 2),
    }


if __name__ == "__main__":
    main()
