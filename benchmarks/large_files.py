# SPDX-License-Identifier: Apache-2.0
"""Measure the upload and the pull of one large file against ``rsync -a`` over ssh.

All log in to the same sandbox host: ours with each transport, and rsync with the system's ssh. The
content does not compress. Ours also compares a pulled file with the host's checksum. The copies
take turns. Adds the figures to build/bench.json.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from report import Pair, add_pairs
from transfers import FOLDER, Peer, sandbox_peer, time_in_turn

MEBIBYTE = 1024 * 1024


def main() -> None:
    """Start a sandbox, measure both directions, and print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, metavar="MIB")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    options = parser.parse_args()
    with sandbox_peer() as peer:
        peers = {name: peer.with_transport(name) for name in ("paramiko", "openssh")}
        _add("up", options.size, _measure_upload(peer, peers, options.size, options.rounds))
        _add("down", options.size, _measure_pull(peer, peers, options.size, options.rounds))


def _measure_upload(peer: Peer, peers: dict[str, Peer], size: int, rounds: int) -> dict[str, float]:
    source = peer.state / "source"
    source.mkdir()
    _write_noise(source / "file", size)
    ours = {name: (lambda at=at: at.push(source, f"{FOLDER}/up")) for name, at in peers.items()}
    return time_in_turn(
        {"rsync": lambda: peer.rsync(f"{source}/", f":{FOLDER}/up/"), **ours},
        lambda: peer.run(f"rm -rf {FOLDER}/up && mkdir -p {FOLDER}/up"),
        rounds,
    )


def _measure_pull(peer: Peer, peers: dict[str, Peer], size: int, rounds: int) -> dict[str, float]:
    copy = peer.state / "copy"
    peer.run(f"mkdir -p {FOLDER}/out; head -c {size * MEBIBYTE} /dev/urandom >{FOLDER}/out/file")
    ours = {name: (lambda at=at: at.pull(copy)) for name, at in peers.items()}
    return time_in_turn(
        {"rsync": lambda: peer.rsync(f":{FOLDER}/out/", f"{copy}/"), **ours},
        lambda: shutil.rmtree(copy, ignore_errors=True),
        rounds,
    )


def _write_noise(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size):
            file.write(os.urandom(MEBIBYTE))


def _add(direction: str, size: int, taken: dict[str, float]) -> None:
    rsync = taken.pop("rsync")
    add_pairs(
        [
            Pair(
                name=f"{size} MiB {direction}, transport {transport}",
                ours_s=seconds,
                baseline="rsync",
                baseline_s=rsync,
            )
            for transport, seconds in taken.items()
        ]
    )


if __name__ == "__main__":
    main()
