# SPDX-License-Identifier: Apache-2.0
"""Give a task copies of what it mounts, on a disk of the machine that runs it.

A batch job reads and writes a disk of its compute node faster than the file system that all nodes
share. The copies are made there, below a link whose path is known before the node is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from mlcube_remote.commands.mounts import Mount
from mlcube_remote.cube.host_paths import contains, normalize


@attrs.frozen(kw_only=True)
class ScratchTarget:
    """Where a job's tasks find copies."""

    link: str
    """The copy of ``/PATH`` is ``LINK/PATH``."""
    own: str
    """``remote_root`` of the host, where only mlcube-remote puts files."""


@attrs.frozen(kw_only=True)
class ScratchCopies:
    """The directories of a host that a task gets as copies."""

    copied: tuple[str, ...] = ()
    """What is copied; none of them contains another."""
    mounted: tuple[tuple[str, str], ...] = ()
    """(a directory that is copied, a directory in it that the task mounts)."""
    written: tuple[str, ...] = ()
    """Where its changes are copied back to; none of them contains another."""


def on_scratch(
    mounts: Sequence[Mount], target: ScratchTarget | None
) -> tuple[tuple[Mount, ...], ScratchCopies]:
    """Return the mounts with copies as their sources, and what has to be copied.

    A file outside mlcube-remote's own directory is no reason to copy the directory that it is in,
    which could be a home: such a mount stays as it is.
    """
    if target is None:
        return tuple(mounts), ScratchCopies()
    moved = {
        mount.source: f"{target.link}{normalize(mount.source)}"
        for mount in mounts
        if not mount.is_parent or contains(target.own, mount.source)
    }
    sources = [normalize(source) for source in moved]
    copied = _outermost(sources)
    written = [
        normalize(mount.source) for mount in mounts if mount.source in moved and mount.opts != "ro"
    ]
    return (
        tuple(
            attrs.evolve(mount, source=moved.get(mount.source, mount.source)) for mount in mounts
        ),
        ScratchCopies(copied=copied, mounted=_inside(copied, sources), written=_outermost(written)),
    )


def merge_copies(every: Iterable[ScratchCopies]) -> ScratchCopies:
    """Return what has to be copied if one of several commands will run."""
    every = tuple(every)
    copied = _outermost([path for each in every for path in each.copied])
    return ScratchCopies(
        copied=copied,
        mounted=_inside(copied, [path for each in every for _, path in each.mounted]),
        written=_outermost([path for each in every for path in each.written]),
    )


def _outermost(paths: Iterable[str]) -> tuple[str, ...]:
    found: list[str] = []
    for path in sorted(set(paths), key=len):
        if not any(contains(outer, path) for outer in found):
            found.append(path)
    return tuple(sorted(found))


def _inside(copied: Sequence[str], paths: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (next(outer for outer in copied if contains(outer, path)), path)
        for path in dict.fromkeys(paths)
    )
