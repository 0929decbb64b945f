# SPDX-License-Identifier: Apache-2.0
"""Measure the pull of an output with many small files against ``rsync -a`` over ssh.

Both log in to the same sandbox host. Ours also compares each file with the host's checksum, checks
the names and links, describes the output, and renames it into place. The copies take turns. Writes
build/bench-small-files.json.
"""

from __future__ import annotations

import argparse
import json
import shutil

from contenders import ROOT
from transfers import FOLDER, Peer, sandbox_peer, time_in_turn

MAKE = """
mkdir -p {folder}/out && cd {folder}/out && i=0
while [ $i -lt {count} ]; do
    [ $((i % 1000)) -ne 0 ] || mkdir -p d$((i / 1000))
    echo $i >d$((i / 1000))/f$i
    i=$((i + 1))
done
"""


def main() -> None:
    """Start a sandbox, measure all numbers of files, and print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[2_000, 20_000, 200_000])
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    options = parser.parse_args()
    with sandbox_peer() as peer:
        rows = [_measure(peer, count, options.rounds) for count in sorted(options.files)]
    target = ROOT / "build/bench-small-files.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows, indent=2) + "\n")
    print(f"written to {target.relative_to(ROOT)}")


def _measure(peer: Peer, count: int, rounds: int) -> dict[str, int | float]:
    peer.run(MAKE.format(folder=FOLDER, count=count))
    copy = peer.state / "copy"
    taken = time_in_turn(
        {
            "ours": lambda: peer.pull(copy),
            "rsync": lambda: peer.rsync(f":{FOLDER}/out/", f"{copy}/"),
        },
        lambda: shutil.rmtree(copy, ignore_errors=True),
        rounds,
    )
    row = {
        "files": count,
        "ours_s": taken["ours"],
        "rsync_s": taken["rsync"],
        "ratio": round(taken["ours"] / taken["rsync"], 2),
    }
    print("{files:>7} files: {ours_s} s, rsync {rsync_s} s, ratio {ratio}".format(**row))
    return row


if __name__ == "__main__":
    main()
