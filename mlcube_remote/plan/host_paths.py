# SPDX-License-Identifier: Apache-2.0
"""All paths of a job on its host."""

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
    """Paths of one job on one host."""

    root: str
    """``remote_root``: absolute, but before the probe it may start with ``~/``."""
    home: str
    cube: str
    """The mirror of the cube (on ``local``: the cube itself)."""
    workspace: str
    """The mirror of the workspace."""
    job_dir: str
    own_dir: str | None = None
    """The own directory of a job that shares the mirror: for its workspace and its inputs."""
    results: str | None = None
    """Directory for the outputs of such a job if it runs on this machine."""

    @property
    def own_workspace(self) -> str:
        """The workspace in which tasks write."""
        if self.own_dir is None:
            return self.workspace
        return self.results or f"{self.own_dir}/workspace"

    @property
    def own_cube(self) -> str:
        """The directory for outputs in the cube that are outside its workspace."""
        return self.cube if self.own_dir is None else f"{self.results or self.own_dir}/cube"

    @property
    def layout(self) -> Layout:
        """The paths that the command builder needs."""
        return Layout(
            root=self.cube,
            workspace=self.own_workspace,
            home=self.home,
            shared_workspace=self.workspace,
        )

    def mirror(self, here: Path, cube: Cube) -> str:
        """Return the path on the host of a path in the cube or its workspace."""
        for top, remote in ((cube.workspace, self.workspace), (cube.root, self.cube)):
            if here.is_relative_to(top):
                return posixpath.normpath(posixpath.join(remote, here.relative_to(top).as_posix()))
        raise ValueError(f"{here} is not mirrored")

    def private_dir(self, number: int) -> str:
        """Directory for the own home and ``/tmp`` of the job's ``number``-th task."""
        return f"{self.job_dir}/private/{number}"

    def task_dir(self, number: int) -> str:
        """Directory of the job's ``number``-th task, counted from 1."""
        return f"{self.job_dir}/tasks/{number}"


def cube_directory(cube: Cube) -> str:
    """Return the cube's directory below ``remote_root``."""
    return f"cubes/{slug(cube.name or cube.root.name, of=str(cube.root))}"


def workspace_directory(cube: Cube) -> str:
    """Return the workspace's directory below ``remote_root``.

    A workspace inside the cube is part of the cube's mirror; another one has its own mirror.
    """
    if cube.workspace.is_relative_to(cube.root):
        inside = cube.workspace.relative_to(cube.root)
        return posixpath.normpath(posixpath.join(cube_directory(cube), inside.as_posix()))
    return f"workspaces/{slug(cube.workspace.name, of=str(cube.workspace))}"


def data_directory(path: Path) -> str:
    """Return the path below ``remote_root`` for a ``local:`` path of this machine."""
    return f"data/{slug(path.name, of=str(path))}/{path.name}"


def host_paths(
    host: Host,
    cube: Cube,
    job: str,
    *,
    root: str,
    home: str,
    shares_mirror: bool = False,
    results: Path | None = None,
) -> HostPaths:
    """Return the paths of a job.

    Args:
        host: The host.
        cube: The cube.
        job: The job's id.
        root: ``remote_root`` as the host expands it; before the probe, as written.
        home: The user's home directory on the host; before the probe, ``~``.
        shares_mirror: Whether other jobs use the same mirror, so that this one needs a directory
            of its own.
        results: Directory on this machine for the outputs of such a job.
    """
    job_dir = f"{root}/jobs/{job}"
    own_dir = f"{root}/trials/{job}" if shares_mirror else None
    if host.is_local:
        return HostPaths(
            root=root,
            home=home,
            cube=str(cube.root),
            workspace=str(cube.workspace),
            job_dir=job_dir,
            own_dir=own_dir,
            results=str(results) if own_dir else None,
        )
    return HostPaths(
        root=root,
        home=home,
        cube=f"{root}/{cube_directory(cube)}",
        workspace=f"{root}/{workspace_directory(cube)}",
        job_dir=job_dir,
        own_dir=own_dir,
    )
