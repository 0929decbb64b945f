# SPDX-License-Identifier: Apache-2.0
"""Measure how an image gets to hosts without a registry, in turn and on the same hosts.

- ours: ``configure --ship-image``; the first host has the image, all others lack it
- pipe: ``docker save | gzip | ssh HOST docker load`` from the first host to each other one, to
  eight at a time
- pull: ``docker pull`` on each other host, at once, from a registry on this machine's loopback
  address, which the hosts reach through tunnels of ssh; ``push`` is the first host's push to it
- build: ``configure`` without ``--ship-image``, so that each host builds the image

Then the same after an edit: the hosts have the image of the last build, and only its last layer is
new. Hosts are containers with engines of their own on this machine, which is also the client. The
registry is Debian's package docker-registry. It writes build/bench-ship-image.json after each
contender, also if the time is over.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
import yaml
from contenders import ROOT
from transfers import ADDRESS, Peer, time_in_turn

from mlcube_remote.sandbox import down, up
from mlcube_remote.sandbox.engine import BASE_IMAGE

IMAGE = "mlcube-remote-bench/ship:1"
IN_REGISTRY = "127.0.0.1:5000/ship:1"
"""The image's name on hosts that reach the registry; engines need no TLS for this address."""
_FORGET = f"""docker image rm --force {IMAGE} {IN_REGISTRY} >/dev/null 2>&1
docker image prune --force >/dev/null"""
_WAIT = """exec bash -c 'for try in $(seq 100); do
    (exec 3<>/dev/tcp/127.0.0.1/5000) 2>/dev/null && exit; sleep 0.1
done; exit 1'"""
_MAX_STARTUPS = 8
"""Connections to one host that begin at once: by default sshd refuses some of more than ten."""
Row = dict[str, float | str]
_RECIPE = f"FROM {BASE_IMAGE}\nCOPY data /data\nCOPY edit /edit\n"
_SENT = re.compile(r"image from \S+, ([\d.]+ \w+) sent")


@attrs.frozen(kw_only=True)
class Fleet:
    """The hosts, and the cube. The first host has the image."""

    peers: list[Peer]
    state: Path
    cube: Path
    deadline: float
    """When all is ended, on the monotonic clock."""

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return max(1.0, self.deadline - time.monotonic())

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
            timeout=self.left,
            env={**os.environ, "XDG_STATE_HOME": str(self.state)},
        )
        return done.stderr

    def ship(self) -> str:
        """Send the image of the first host to all others."""
        return self.configure(f"--ship-image={self.peers[0].host.name}")

    def pipe(self) -> None:
        """Copy the image from the first host to each other one, as people do by hand."""
        self._on_each(self._copy, at_once=_MAX_STARTUPS)

    def push(self) -> None:
        """Let the first host push the image to the registry."""
        words = f"docker tag {IMAGE} {IN_REGISTRY} && docker push --quiet {IN_REGISTRY}"
        self._run(self.peers[0], words)

    def pull(self) -> None:
        """Let each other host pull the image from the registry."""
        words = f"docker pull --quiet {IN_REGISTRY} && docker tag {IN_REGISTRY} {IMAGE}"
        self._on_each(lambda peer: self._run(peer, words))

    def _on_each(self, work: Callable[[Peer], None], at_once: int | None = None) -> None:
        with ThreadPoolExecutor(at_once or len(self.peers)) as threads:
            list(threads.map(work, self.peers[1:]))

    def _run(self, peer: Peer, script: str) -> None:
        words = [*peer.ssh, ADDRESS, script]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, timeout=self.left)

    def _copy(self, peer: Peer) -> None:
        words = " ".join([*self.peers[0].ssh, ADDRESS])
        target = " ".join([*peer.ssh, ADDRESS])
        script = f"{words} 'docker save {IMAGE} | gzip -1' | {target} 'gunzip | docker load'"
        argv = ["sh", "-c", script]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=self.left)

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
    parser.add_argument("--minutes", type=int, default=60, metavar="N", help="time for all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-bench-") as temporary:
        state = Path(temporary) / "sandbox"
        sandbox = up(options.hosts, "nested", state_dir=state)
        try:
            peers = [Peer(host=host, state=state) for host in sandbox.hosts]
            cube = _write_cube(Path(temporary) / "cube", options.size)
            deadline = time.monotonic() + 60 * options.minutes
            fleet = Fleet(peers=peers, state=state, cube=cube, deadline=deadline)
            row: Row = {"hosts": options.hosts, "MB": options.size, "rounds": options.rounds}
            with registry(Path(temporary) / "registry", peers):
                try:
                    for found in _measure(fleet, options.rounds):
                        row.update(found)
                        _write(row)
                except subprocess.TimeoutExpired:
                    sys.exit(f"not ended in {options.minutes} minutes: see the figures so far")
        finally:
            down(state_dir=state)


def _write(row: Row) -> None:
    target = ROOT / "build/bench-ship-image.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(row, indent=2) + "\n")
    print(json.dumps(row), flush=True)


@contextmanager
def registry(folder: Path, peers: Sequence[Peer]) -> Iterator[None]:
    """Run a registry here, and a tunnel to it from each host, during the block."""
    program = shutil.which("docker-registry")
    if program is None:
        sys.exit("docker-registry is not installed: apt-get install docker-registry")
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    config = {"version": 0.1, "storage": storage, "http": {"addr": address}}
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    tunnel = ("-N", "-o", "ExitOnForwardFailure=yes", "-R", f"5000:{address}")
    commands = [
        [program, "serve", str(folder / "config.yml")],
        *([*peer.ssh, *tunnel, ADDRESS] for peer in peers),
    ]
    with ExitStack() as stack, (folder / "log").open("wb") as log:
        for command in commands:
            started = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
            stack.callback(started.terminate)
        for peer in peers:
            peer.run(_WAIT)
        yield


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


def _measure(fleet: Fleet, rounds: int) -> Iterator[Row]:
    """Measure one contender after the other, and give what was found each time."""
    fleet.configure()
    fleet.forget()
    yield {"sent": _SENT.findall(fleet.ship())[0]}
    begin = time.monotonic()
    fleet.push()
    yield {"push_s": round(time.monotonic() - begin, 2)}
    contenders = {"ours": fleet.ship, "pipe": fleet.pipe, "pull": fleet.pull}
    cold = time_in_turn(contenders, fleet.forget, rounds)
    ours = cold["ours"]
    yield {f"{name}_s": seconds for name, seconds in cold.items()}
    yield {f"ours/{name}": round(ours / cold[name], 2) for name in ("pipe", "pull")}
    fleet.ship()
    edits = iter(range(1, 1000))
    warm = time_in_turn({"ours": fleet.ship}, lambda: fleet.edit(str(next(edits))), rounds)
    yield {"edit_s": warm["ours"], "edit/pipe": round(warm["ours"] / cold["pipe"], 2)}
    fleet.edit("last")
    yield {"edit_sent": _SENT.findall(fleet.ship())[0]}
    built = time_in_turn({"build": fleet.configure}, lambda: fleet.forget(everywhere=True), rounds)
    yield {"build_s": built["build"], "ours/build": round(ours / built["build"], 2)}


if __name__ == "__main__":
    main()
