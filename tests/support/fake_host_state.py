# SPDX-License-Identifier: Apache-2.0
"""What a fake host keeps, and a connection to it that can break."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from mlcube_remote.errors import StateUnknownError
from mlcube_remote.transport.base import OutputSink, Reply, Timeout
from mlcube_remote.transport.fake import FakeConnection
from tests.support.fake_jobs import FakeJob, Script, is_gone

_SLEEP = time.sleep
"""The real one: tests replace ``time.sleep``."""
_PATIENCE_S = 5.0


@attrs.define
class HostConnection(FakeConnection):
    """A connection to a :class:`FakeHost`, which can break."""

    is_cut: bool = attrs.field(default=False, init=False)

    def stream(
        self,
        function: str,
        *args: str,
        sink: OutputSink,
        env: Mapping[str, str] | None = None,
        timeout: Timeout | None = None,
    ) -> int:
        """Pass the output on, then fail if the connection broke meanwhile."""
        code = FakeConnection.stream(self, function, *args, sink=sink, env=env, timeout=timeout)
        self.require()
        return code

    def require(self) -> None:
        """Fail unless the connection is usable."""
        if is_gone(self):
            raise StateUnknownError(self.name, "connection lost")


@attrs.define
class HostState:
    """What a host has and keeps; tests read and change it."""

    name: str = "gpu01"
    has_image: bool = True
    image_id: str = "1" * 64
    image_sources: str = ""
    """The label that says what the image was built from."""
    architecture: str = "amd64"
    gpus: tuple[str, ...] = ()
    """UUIDs; none: the host has no ``nvidia-smi``."""
    facts: dict[str, str] = attrs.field(factory=dict)
    """Records of ``mlcr_probe_host`` that differ from the usual ones."""
    kinds: dict[str, str] = attrs.field(factory=dict)
    """Path → ``f``, ``d`` or ``-``; by default what is in :attr:`files`."""
    scripts: dict[str, Script] = attrs.field(factory=dict)
    """Task → what it does."""
    build: Reply = Reply(0, b"built\n", b"")
    """What a pull or a build of the image does."""
    jobs: dict[str, FakeJob] = attrs.field(factory=dict)
    """Job's directory → job."""
    files: dict[str, bytes] = attrs.field(factory=dict)
    locks: dict[str, tuple[str, str]] = attrs.field(factory=dict)
    """Lock → the job's directory and the group that hold it."""
    answers_ends: bool = False
    """Whether a report follows a task's output, unasked."""
    sends_outputs: bool = True
    """Whether small outputs come with it."""
    mirrored: Path | None = None
    """The directory of this machine whose mirror the host describes."""
    unlike: bytes = b""
    """What differs in the mirror."""
    sent: bytes = b""
    """What comes instead of these outputs."""
    follow_cuts: list[int] = attrs.field(factory=list)
    """Bytes of output after which the connections of the next follows break."""


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another thread."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        _SLEEP(0.001)
