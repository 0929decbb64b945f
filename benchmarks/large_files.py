# SPDX-License-Identifier: Apache-2.0
"""Measure the upload and the pull of one large file against ``rsync -a`` over ssh.

All log in to the same sandbox host: ours with each transport, and rsync with the system's ssh. The
content does not compress. Ours also compares a pulled file with the host's checksum. The copies
take turns. Writes build/bench-large-files.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path

from contenders import ROOT
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
        rows = {
            "up": _measure_upload(peer, peers, options.size, options.rounds),
            "down": _measure_pull(peer, peers, options.size, options.rounds),
        }
    target = ROOT / "build/bench-large-files.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"mib": options.size, **rows}, indent=2) + "\n")
    print(f"written to {target.relative_to(ROOT)}")


def _measure_upload(peer: Peer, peers: dict[str, Peer], size: int, rounds: int) -> dict[str, float]:
    source = peer.state / "source"
    source.mkdir()
    _write_noise(source / "file", size)
    ours = {name: (lambda at=at: at.push(source, f"{FOLDER}/up")) for name, at in peers.items()}
    return _show(
        "up",
        time_in_turn(
            {"rsync": lambda: peer.rsync(f"{source}/", f":{FOLDER}/up/"), **ours},
            lambda: peer.run(f"rm -rf {FOLDER}/up && mkdir -p {FOLDER}/up"),
            rounds,
        ),
    )


def _measure_pull(peer: Peer, peers: dict[str, Peer], size: int, rounds: int) -> dict[str, float]:
    copy = peer.state / "copy"
    peer.run(f"mkdir -p {FOLDER}/out; head -c {size * MEBIBYTE} /dev/urandom >{FOLDER}/out/file")
    ours = {name: (lambda at=at: at.pull(copy)) for name, at in peers.items()}
    return _show(
        "down",
        time_in_turn(
            {"rsync": lambda: peer.rsync(f":{FOLDER}/out/", f"{copy}/"), **ours},
            lambda: shutil.rmtree(copy, ignore_errors=True),
            rounds,
        ),
    )


def _write_noise(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size):
            file.write(os.urandom(MEBIBYTE))


def _show(direction: str, taken: dict[str, float]) -> dict[str, float]:
    ratios = {name: round(taken[name] / taken["rsync"], 2) for name in ("paramiko", "openssh")}
    print(
        f"{direction}: rsync {taken['rsync']} s, "
        + ", ".join(f"{name} {taken[name]} s ({ratio})" for name, ratio in ratios.items())
    )
    return {**{f"{name}_s": seconds for name, seconds in taken.items()}, **ratios}


if __name__ == "__main__":
    main()
