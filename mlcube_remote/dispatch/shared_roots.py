# SPDX-License-Identifier: Apache-2.0
"""Coordinate the jobs of a run whose hosts share one ``remote_root``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from mlcube_remote.facts.images import Image


@attrs.define
class Mirror:
    """The mirror of a cube in one ``remote_root``, shared by several jobs of the run."""

    ready_on: dict[str, Image] = attrs.field(factory=dict)
    """Hosts that have an up-to-date mirror and the image → this image."""
    guard: threading.Lock = attrs.field(factory=threading.Lock)


@attrs.define
class SharedRoots:
    """Locks for each ``remote_root`` of a run, by the id that hosts report for it."""

    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _locks: dict[str, tuple[str, threading.Lock]] = attrs.field(factory=dict, init=False)
    """Id → the first host that has it, and the lock."""
    _mirrors: dict[str, Mirror] = attrs.field(factory=dict, init=False)

    @contextmanager
    def exclusive(self, root_id: str, host: str, warn: Callable[[str], None]) -> Iterator[None]:
        """Hold a ``remote_root`` for one job; warn if another host of the run shares it."""
        with self._guard:
            first, lock = self._locks.setdefault(root_id, (host, threading.Lock()))
        if first != host:
            warn(
                f"shares its remote_root with {first} (one machine, or one file system): "
                "their jobs run one after the other"
            )
        with lock:
            yield

    @contextmanager
    def mirror(self, root_id: str) -> Iterator[Mirror]:
        """Hold the mirror while it is brought up to date."""
        with self._guard:
            mirror = self._mirrors.setdefault(root_id, Mirror())
        with mirror.guard:
            yield mirror
