# SPDX-License-Identifier: Apache-2.0
"""Measure the upload and the pull of many small files against ``rsync -a`` over ssh.

Both log in to the same sandbox host. On a pull, ours also compares each file with the host's
checksum, checks the names and links, describes the output, and renames it into place. The copies
take turns. Adds the figures to build/bench.json.
"""

from __future__ import annotations

import argparse
import shutil

from report import add_pairs, pairs
from transfers import FOLDER, Peer, sandbox_peer, time_in_turn

PER_FOLDER = 1_000
MAKE = """
mkdir -p {folder}/out && cd {folder}/out && i=0
while [ $i -lt {count} ]; do
    [ $((i % {per_folder})) -ne 0 ] || mkdir -p d$((i / {per_folder}))
    echo $i >d$((i / {per_folder}))/f$i
    i=$((i + 1))
done
"""


def main() -> None:
    """Start a sandbox, measure all numbers of files, and print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    options = parser.parse_args()
    with sandbox_peer() as peer:
        for count in sorted(options.files):
            _add("up", count, _measure_upload(peer, count, options.rounds))
            _add("down", count, _measure_pull(peer, count, options.rounds))


def _measure_upload(peer: Peer, count: int, rounds: int) -> dict[str, float]:
    source = peer.state / "source"
    for number in range(count):
        folder = source / f"d{number // PER_FOLDER}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}").write_text(f"{number}\n")
    return time_in_turn(
        {
            "ours": lambda: peer.push(source, f"{FOLDER}/up"),
            "rsync": lambda: peer.rsync(f"{source}/", f":{FOLDER}/up/"),
        },
        lambda: peer.run(f"rm -rf {FOLDER}/up && mkdir -p {FOLDER}/up"),
        rounds,
    )


def _measure_pull(peer: Peer, count: int, rounds: int) -> dict[str, float]:
    peer.run(MAKE.format(folder=FOLDER, count=count, per_folder=PER_FOLDER))
    copy = peer.state / "copy"
    return time_in_turn(
        {
            "ours": lambda: peer.pull(copy),
            "rsync": lambda: peer.rsync(f":{FOLDER}/out/", f"{copy}/"),
        },
        lambda: shutil.rmtree(copy, ignore_errors=True),
        rounds,
    )


def _add(direction: str, count: int, taken: dict[str, float]) -> None:
    add_pairs(pairs(f"{count} small files {direction}", taken))


if __name__ == "__main__":
    main()
