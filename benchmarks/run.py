# SPDX-License-Identifier: Apache-2.0
"""How long a warm, unchanged ``run`` of hello_world takes, against what people use instead.

Baselines, with OpenSSH and the same containers, all hosts at once:

``loop``  ``rsync`` up, ``ssh host docker run``, ``rsync`` down: what a shell script does.
``bare``  ``ssh host docker run`` alone: nothing is copied; the floor.

The commands are timed in turn (ours, loop, bare, ours, …), so that a machine whose speed drifts is
fair to each. Writes build/bench.json: a list of {name, hosts, ours_s, baseline, baseline_s, ratio},
medians of the counted rounds.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mlcube_remote.sandbox import SandboxHost, down, up

ROOT = Path(__file__).parent.parent
CUBE = ROOT / "examples" / "hello_world"
IMAGE = "mlcube-remote/hello_world:0.1"


def main() -> None:
    """Start a sandbox, measure, print, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 16], metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-bench-") as folder:
        state = Path(folder) / "sandbox"
        sandbox = up(max(given.hosts), state_dir=state, note=_tell)
        try:
            figures = [
                figure
                for count in given.hosts
                for figure in _measure(sandbox.hosts[:count], state, given.rounds)
            ]
        finally:
            down(state_dir=state)
    for figure in figures:
        print(
            "{name} on {hosts:>3} hosts: {ours_s:6.2f} s, {baseline:<4} {baseline_s:6.2f} s, "
            "ratio {ratio:.2f}".format(**figure)
        )
    target = ROOT / "build" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"written to {target.relative_to(ROOT)}")


def _measure(
    hosts: tuple[SandboxHost, ...], state: Path, rounds: int
) -> list[dict[str, str | int | float]]:
    names = ",".join(host.name for host in hosts)
    contenders = {
        "ours": _ours(names, state),
        "loop": _shell([_loop(host, state) for host in hosts]),
        "bare": _shell([_bare(host, state) for host in hosts]),
    }
    for warm_up in contenders.values():
        warm_up()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            seconds[name].append(_timed(contender))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return [
        {
            "name": "hello_world, warm, no change",
            "hosts": len(hosts),
            "ours_s": round(median["ours"], 3),
            "baseline": baseline,
            "baseline_s": round(median[baseline], 3),
            "ratio": round(median["ours"] / median[baseline], 3),
        }
        for baseline in ("loop", "bare")
    ]


def _timed(contender: Callable[[], None]) -> float:
    start = time.monotonic()
    contender()
    return time.monotonic() - start


def _ours(names: str, state: Path) -> Callable[[], None]:
    program = Path(sys.executable).with_name("mlcube-remote")
    argv = [str(program), "run", "--inventory", str(state / "hosts.yaml"), f"--host={names}"]
    argv += [f"--mlcube={CUBE}", "--task=hello", "--quiet"]
    return lambda: _check(argv)


def _shell(scripts: list[str]) -> Callable[[], None]:
    text = "".join(f"({script}) &\n" for script in scripts) + "wait\n"
    return lambda: _check(["sh", "-ec", text])


def _check(argv: list[str]) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _ssh(host: SandboxHost, state: Path) -> str:
    return shlex.join(
        [
            *("ssh", "-p", str(host.port), "-i", str(state / "id_ed25519"), "-o", "BatchMode=yes"),
            *("-o", f"UserKnownHostsFile={state / 'known_hosts'}"),
        ]
    )


def _run(host: SandboxHost, state: Path) -> str:
    workspace = host.home / "loop" / "workspace"
    command = shlex.join(
        [
            *("docker", "run", "--rm", "--volume", f"{workspace}/names:/mlcube_io0"),
            *("--volume", f"{workspace}/chats:/mlcube_io1", IMAGE, "hello"),
            *("--name=/mlcube_io0/alice.txt", "--chat=/mlcube_io1/chat_with_alice.txt"),
        ]
    )
    return f"{_ssh(host, state)} mlcube@127.0.0.1 {shlex.quote(command)}"


def _loop(host: SandboxHost, state: Path) -> str:
    rsync = f"rsync -a -e {shlex.quote(_ssh(host, state))}"
    there = shlex.quote(f"mlcube@127.0.0.1:{host.home}/loop")
    back = state / f"back-{host.name}"
    return f"{rsync} {CUBE}/ {there}/ && {_run(host, state)} && {rsync} {there}/workspace/ {back}/"


def _bare(host: SandboxHost, state: Path) -> str:
    return _run(host, state)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
