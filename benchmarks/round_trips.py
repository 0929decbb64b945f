# SPDX-License-Identifier: Apache-2.0
"""Count the round trips of a warm, unchanged ``run`` of hello_world, one after the other.

The host is behind a proxy that delays each direction by half a second. So a round trip takes one
second, the work of both machines is small beside it, and the seconds that the run takes are the
round trips that it waits for. One run is enough: noise of the machine does not matter.

Prints when each step began and ended, in seconds since the start of the command. Then the other
ways to run the task are measured in the same manner. Adds the figures to build/bench.json.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import attrs
from contenders import contenders
from costs import measure_cost
from distance import at_distance
from report import add_pairs, pairs

from mlcube_remote.cli.main import execute
from mlcube_remote.sandbox import down, up
from mlcube_remote.transport import ssh_transport
from mlcube_remote.transport.control_shell import ControlShell
from mlcube_remote.transport.sessions import Sessions
from mlcube_remote.transport.ssh import SSHConnection

ROUND_TRIP_S = 1.0


@attrs.define
class Timeline:
    """The steps of one run, as they end."""

    begin: float = attrs.field(factory=time.monotonic)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def watch(self, owner: Any, name: str, describe: Callable[..., str]) -> None:
        """Print a line for each call of a function or method from now on."""
        original = getattr(owner, name)

        @wraps(original)
        def timed(*args: Any, **more: Any) -> Any:
            started = time.monotonic() - self.begin
            try:
                return original(*args, **more)
            finally:
                self._print(describe(*args), started, time.monotonic() - self.begin)

        setattr(owner, name, timed)

    def _print(self, what: str, started: float, ended: float) -> None:
        with self._lock:
            print(f"{started:6.2f} {ended:6.2f} {ended - started:6.2f}  {what}", flush=True)


def main() -> None:
    """Start a sandbox, run the cube once to fill it, and once more behind the proxy."""
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-bench-") as temporary:
        state = Path(temporary) / "sandbox"
        sandbox = up(1, state_dir=state, note=lambda text: print(text, file=sys.stderr))
        try:
            ours, *others = contenders(sandbox.hosts, state, None)
            os.environ.update(ours.env)
            _run(ours.argv)
            for each in others:
                measure_cost(each)  # the first one uploads the cube
            with at_distance(sandbox.hosts[0], state, ROUND_TRIP_S) as (host, folder):
                # The same cube, so that nothing has changed.
                far = [
                    word.replace(str(state / "hosts.yaml"), str(folder / "hosts.yaml"))
                    for word in ours.argv
                ]
                _run(far)  # it remembers what it has found, under the name and port of this host
                taken = {"ours": _watched(far)}
                for each in contenders([host], folder, None)[1:]:
                    taken[each.name] = measure_cost(each).seconds / ROUND_TRIP_S
                add_pairs(pairs("round trips, hello_world, warm, no change", taken))
        finally:
            down(state_dir=state)


def _watched(argv: Sequence[str]) -> float:
    """Run a command, print its steps, and return how many round trips it took."""
    _watch(Timeline())
    began = time.monotonic()
    _run(argv)
    return (time.monotonic() - began) / ROUND_TRIP_S


def _run(argv: Sequence[str]) -> None:
    if code := execute(list(argv[1:])):
        raise SystemExit(code)


def _watch(timeline: Timeline) -> None:
    timeline.watch(ssh_transport, "_connect_tcp", lambda *_: "  TCP")
    timeline.watch(ssh_transport, "_exchange_keys", lambda *_: "  key exchange")
    timeline.watch(ssh_transport, "_open_limited", lambda *_: "connect and log in")
    timeline.watch(ControlShell, "call", lambda _shell, function, *_: f"call {function}")
    timeline.watch(Sessions, "_open", lambda *_: "  open a session")
    timeline.watch(SSHConnection, "stream", lambda _at, function, *_: f"stream {function}")
    timeline.watch(SSHConnection, "rsync", lambda _at, words: f"rsync {words[-2]} {words[-1]}")


if __name__ == "__main__":
    main()
