# SPDX-License-Identifier: Apache-2.0
"""The area of each path on a host: the directory that no link may lead out of.

A task can replace what is in its workspace by links, so a path says nothing about where it leads.
The host resolves each path directly before it uses it, and compares the result with the area.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

import attrs

from mlcube_remote.cube.host_paths import contains, normalize
from mlcube_remote.plan.host_paths import HostPaths


@attrs.frozen(kw_only=True)
class Confined:
    """A path and its area, as ``remote/confine.sh`` takes them."""

    path: str
    anchor: str
    """A directory that the user named: links in its own path are the user's."""
    rest: str
    """The area's path below the anchor, where every link is refused; may be empty."""

    @property
    def words(self) -> tuple[str, str, str]:
        """Arguments of a shell function."""
        return self.anchor, self.rest, self.path

    @property
    def may_lead_anywhere(self) -> bool:
        """Whether the path is its own area."""
        return self.anchor == self.path


def confine(path: str, paths: HostPaths, earlier: Sequence[str] = ()) -> Confined:
    """Return a path of a job with its area.

    Args:
        path: The path.
        paths: All paths of the job.
        earlier: What earlier tasks of the job can write to.

    The area is the part of mlcube-remote's directory that belongs to the path: the cube's mirror,
    with its workspace; a workspace outside the cube; a directory for ``local:`` data; the job's own
    directory. On this machine, it is the cube or the workspace. Every other path is one that the
    user gave, or agreed to: it may lead anywhere, and is its own area. But if an earlier task can
    write to a directory that contains it, that directory is its area.
    """
    for area in _areas(path, paths):
        if contains(area, path):
            anchor = paths.root if contains(paths.root, area) else area
            rest = posixpath.relpath(normalize(area), normalize(anchor))
            return Confined(path=path, anchor=anchor, rest="" if rest == "." else rest)
    anchor = next((each for each in earlier if contains(each, path)), path)
    return Confined(path=path, anchor=anchor, rest="")


def _areas(path: str, paths: HostPaths) -> list[str]:
    areas = [paths.own_dir, paths.results, paths.cube, paths.workspace]
    data = posixpath.join(paths.root, "data")
    if contains(data, path):
        slot = posixpath.relpath(normalize(path), normalize(data)).partition("/")[0]
        areas.append(posixpath.join(data, slot))
    return [area for area in areas if area]
