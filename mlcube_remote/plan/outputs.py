# SPDX-License-Identifier: Apache-2.0
"""Which outputs of a job are downloaded, and from where to where."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from pathlib import Path

import attrs

from mlcube_remote.cube.model import Cube, ParameterType
from mlcube_remote.plan.host_paths import HostPaths, data_directory
from mlcube_remote.plan.placement import DataLocation, PlacedParameter


@attrs.frozen(kw_only=True)
class DownloadRequest:
    """One output to download."""

    task: str
    name: str
    path: str
    """POSIX path below the folder on the host."""
    directory: bool | None


@attrs.frozen(kw_only=True)
class DownloadFolder:
    """Outputs with one source folder and one target folder, downloaded by one rsync."""

    remote: str
    target: Path
    basis: Path | None
    """A local folder; files that it has unchanged are not transferred."""
    outputs: tuple[DownloadRequest, ...]
    mounts: tuple[tuple[str, str], ...] = ()
    """(path on the host, path in the container) of directories that the tasks could write to."""
    anchor: Path | None = None
    """The part of ``target`` that the user named: a link below it is never followed, because the
    cube may have planted it. ``None``: all of ``target``."""


def download_folders(
    cube: Cube,
    placed: Iterable[tuple[str, PlacedParameter]],
    paths: HostPaths,
    *,
    results: Path | None,
) -> tuple[DownloadFolder, ...]:
    """Return the outputs to download, by folder.

    Args:
        cube: The cube.
        placed: (task, parameter) of the tasks.
        paths: The job's paths on its host.
        results: Directory for the job's outputs; ``None``: the workspace, as in a local run.
    """
    in_cube: list[DownloadRequest] = []
    in_workspace: list[DownloadRequest] = []
    single: list[DownloadFolder] = []
    for task, item in placed:
        if not item.is_output or item.local is None or item.where is DataLocation.HOST:
            continue
        if item.where is DataLocation.CLIENT:
            single.append(_single_output(task, item, paths))
        elif item.local.is_relative_to(cube.workspace):
            in_workspace.append(_request(task, item, cube.workspace))
        else:
            in_cube.append(_request(task, item, cube.root))
    # Everything below the cube's directory is the cube's; a workspace elsewhere is the user's.
    is_inside = cube.workspace.is_relative_to(cube.root)
    anchor = cube.root if is_inside else cube.workspace
    if results is not None and not is_inside:
        anchor = cube.workspace.parent
    shared = (
        (in_workspace, paths.own_workspace, cube.workspace, results, anchor),
        (
            in_cube,
            paths.own_cube,
            cube.root,
            results and results / "cube",
            cube.root if results is None else anchor,
        ),
    )
    return (
        *(
            DownloadFolder(
                remote=remote,
                target=elsewhere or here,
                basis=here,
                outputs=tuple(outputs),
                anchor=anchor,
            )
            for outputs, remote, here, elsewhere, anchor in shared
            if outputs
        ),
        *single,
    )


def _request(task: str, item: PlacedParameter, top: Path) -> DownloadRequest:
    assert item.local is not None  # noqa: S101 - checked by the callers
    return DownloadRequest(
        task=task,
        name=item.parameter.name,
        path=item.local.relative_to(top).as_posix(),
        directory=_is_directory(item),
    )


def _single_output(task: str, item: PlacedParameter, paths: HostPaths) -> DownloadFolder:
    assert item.local is not None  # noqa: S101 - checked by the callers
    remote = posixpath.join(paths.root, data_directory(item.local))
    return DownloadFolder(
        remote=posixpath.dirname(remote),
        target=item.local.parent,
        basis=item.local.parent,
        outputs=(_request(task, item, item.local.parent),),
    )


def _is_directory(item: PlacedParameter) -> bool | None:
    if item.parameter.type is ParameterType.UNKNOWN:
        return None
    return item.is_directory
