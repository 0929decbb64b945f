# SPDX-License-Identifier: Apache-2.0
"""Every path that a job has on its host, in one place."""

from __future__ import annotations

import posixpath
from pathlib import Path

import attrs

from mlcube_remote.cube.host_paths import Layout
from mlcube_remote.cube.model import Cube
from mlcube_remote.inventory.model import Host
from mlcube_remote.runs.ids import slug


@attrs.frozen(kw_only=True)
class HostPaths:
    """Paths on one host for one cube; DESIGN names them under "Paths and data"."""

    root: str
    """``remote_root``, absolute; before anybody logged in it may still begin with ``~/``."""
    home: str
    cube: str
    """The mirrored cube (on ``local``: the cube itself)."""
    workspace: str
    """The mirrored workspace."""
    job_dir: str
    room: str | None = None
    """What a job has for itself that shares the mirror with others: its workspace and inputs."""
    results: str | None = None
    """Where such a job makes its outputs when it runs on this machine."""

    @property
    def own_workspace(self) -> str:
        """The workspace that tasks write to."""
        if self.room is None:
            return self.workspace
        return self.results or f"{self.room}/workspace"

    @property
    def own_cube(self) -> str:
        """Where tasks write what is in the cube, but not in its workspace."""
        return self.cube if self.room is None else f"{self.results or self.room}/cube"

    @property
    def layout(self) -> Layout:
        """What the command builder must know of the host."""
        return Layout(root=self.cube, workspace=self.own_workspace, home=self.home)

    def mirror(self, here: Path, cube: Cube) -> str:
        """Return where a path of this machine, inside the cube or its workspace, is there."""
        for top, there in ((cube.workspace, self.workspace), (cube.root, self.cube)):
            if here.is_relative_to(top):
                return posixpath.normpath(posixpath.join(there, here.relative_to(top).as_posix()))
        raise ValueError(f"{here} is not mirrored")

    def task_dir(self, number: int) -> str:
        """Directory of the job's ``number``-th task, counted from 1."""
        return f"{self.job_dir}/tasks/{number}"


def cube_room(cube: Cube) -> str:
    """Return the cube's directory below ``remote_root``."""
    return f"cubes/{slug(cube.name or cube.root.name, of=str(cube.root))}"


def workspace_room(cube: Cube) -> str:
    """Return the workspace's directory below ``remote_root``.

    A workspace inside the cube stays at its place in the mirror; another one has its own mirror.
    """
    if cube.workspace.is_relative_to(cube.root):
        inside = cube.workspace.relative_to(cube.root)
        return posixpath.normpath(posixpath.join(cube_room(cube), inside.as_posix()))
    return f"workspaces/{slug(cube.workspace.name, of=str(cube.workspace))}"


def data_room(path: Path) -> str:
    """Return where a ``local:`` path of this machine lives below ``remote_root``."""
    return f"data/{slug(path.name, of=str(path))}/{path.name}"


def host_paths(
    host: Host,
    cube: Cube,
    job: str,
    *,
    root: str,
    home: str,
    is_apart: bool = False,
    results: Path | None = None,
) -> HostPaths:
    """Return the paths of a job.

    Args:
        host: Where the job runs.
        cube: What it runs.
        job: The job's id.
        root: ``remote_root`` as the host expanded it, or as written while nobody has asked it.
        home: The user's home directory there, or ``~``.
        is_apart: Whether the job shares the mirror with others, and so has a room of its own.
        results: Where such a job's outputs are to be in the end, on this machine.
    """
    job_dir = f"{root}/jobs/{job}"
    room = f"{root}/trials/{job}" if is_apart else None
    if host.is_local:
        return HostPaths(
            root=root,
            home=home,
            cube=str(cube.root),
            workspace=str(cube.workspace),
            job_dir=job_dir,
            room=room,
            results=str(results) if room else None,
        )
    return HostPaths(
        root=root,
        home=home,
        cube=f"{root}/{cube_room(cube)}",
        workspace=f"{root}/{workspace_room(cube)}",
        job_dir=job_dir,
        room=room,
    )
