# SPDX-License-Identifier: Apache-2.0
"""Measure the pull of an output with many small files against ``rsync -a`` over ssh.

Both log in to the same sandbox host. Ours also compares each file with the host's checksum, checks
the names and links, describes the output, and renames it into place. The copies take turns. Writes
build/bench-small-files.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from contenders import ROOT

from mlcube_remote.app.inventory import open_inventory
from mlcube_remote.app.logins import Logins
from mlcube_remote.app.options import Credentials
from mlcube_remote.files.download import download
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest
from mlcube_remote.sandbox import SandboxHost, down, up
from mlcube_remote.trust.requests import FULL_TRUST

REMOTE = "bench/out"

MAKE = """
mkdir -p bench/out && cd bench/out && i=0
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
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-bench-") as temporary:
        state = Path(temporary) / "sandbox"
        sandbox = up(1, state_dir=state)
        try:
            sizes = sorted(options.files)
            rows = [_measure(sandbox.hosts[0], state, count, options.rounds) for count in sizes]
        finally:
            down(state_dir=state)
    target = ROOT / "build/bench-small-files.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows, indent=2) + "\n")
    print(f"written to {target.relative_to(ROOT)}")


def _measure(host: SandboxHost, state: Path, count: int, rounds: int) -> dict[str, int | float]:
    ssh = ["ssh", "-p", str(host.port), "-i", str(state / "id_ed25519"), "-o", "BatchMode=yes"]
    ssh += ["-o", f"UserKnownHostsFile={state / 'known_hosts'}"]
    address = "mlcube@127.0.0.1"
    make = MAKE.format(count=count)
    subprocess.run([*ssh, address, "sh -es"], input=make.encode(), check=True)
    copy = state / "copy"
    rsync = ["rsync", "-a", "-e", " ".join(ssh), f"{address}:{REMOTE}/", f"{copy}/"]
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_timed(lambda: _pull(host, state, copy), copy))
        theirs.append(_timed(lambda: subprocess.run(rsync, check=True), copy))
    row = {
        "files": count,
        "ours_s": round(statistics.median(ours), 2),
        "rsync_s": round(statistics.median(theirs), 2),
        "ratio": round(statistics.median(ours) / statistics.median(theirs), 2),
    }
    print("{files:>7} files: {ours_s} s, rsync {rsync_s} s, ratio {ratio}".format(**row))
    return row


def _timed(copy_all: Callable[[], object], copy: Path) -> float:
    shutil.rmtree(copy, ignore_errors=True)
    os.sync()
    start = time.monotonic()
    copy_all()
    return time.monotonic() - start


def _pull(host: SandboxHost, state: Path, copy: Path) -> None:
    inventory = open_inventory(str(state / "hosts.yaml"), None, trust=FULL_TRUST)
    logins = Logins(inventory=inventory, credentials=Credentials())
    output = DownloadRequest(task="bench", name="out", path="out", directory=True)
    folder = DownloadFolder(remote="bench", target=copy, basis=None, outputs=(output,))
    with closing(logins.connect(inventory.hosts[host.name])) as connection:
        download(connection, folder, run="bench")


if __name__ == "__main__":
    main()
