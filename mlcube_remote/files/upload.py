# SPDX-License-Identifier: Apache-2.0
"""Plan an upload: choose the trees, and the rules for what of each is sent.

The mirror on the host becomes equal to the cube on this machine. There are two exceptions: results
are not uploaded, and nothing is deleted in the workspace, which contains the tasks' outputs.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from pathlib import Path

import attrs

from mlcube_remote.cube.model import IO, Cube, ParameterType
from mlcube_remote.files.filters import escape, exclude_path, filter_rules, read_patterns
from mlcube_remote.files.link_copies import LinkCopies
from mlcube_remote.files.rsync import IO_TIMEOUT
from mlcube_remote.plan.host_paths import HostPaths, data_directory
from mlcube_remote.plan.placement import DataLocation, PlacedParameter, mirrored_path

PARTIAL = ".mlcube-remote-partial"
"""Directory for partial files beside each file on the host, until its transfer is complete."""

_OPTIONS = (
    "-rlpt",
    "--sparse",
    "--hard-links",
    "--chmod=Du+rwx,u+rw,ug-s,o-t",
    # Compare nanoseconds: a file may change twice in one second, and keep its size.
    "--modify-window=-1",
    # Without --delay-updates, files appear one by one, which saves two round trips: nothing runs on
    # a mirror that is half new, because a run waits for the end of the upload.
    f"--partial-dir={PARTIAL}",
    f"--timeout={IO_TIMEOUT}",
    "--stats",
    "--no-human-readable",
)


@attrs.frozen(kw_only=True)
class UploadTree:
    """One directory or file of this machine, and its mirror on a host."""

    local: Path
    remote: str
    rules: tuple[str, ...] = ()
    """rsync filter rules; the first match decides."""
    mirror: bool = False
    """Whether to delete files on the host that no longer exist on this machine."""
    inputs: tuple[Path, ...] = ()
    """The inputs of the job that are in it."""
    copies: LinkCopies | None = None
    """What to send in the places of links that leave the tree; ``None``: nothing."""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory, whose contents are sent."""
        return self.local.is_dir()

    def arguments(self) -> list[str]:
        """Return the arguments of the rsync that updates the mirror."""
        replaced = () if self.copies is None else self.copies.replaced
        rules = (*(exclude_path(name, directory=False) for name in replaced), *self.rules)
        filters = [f"--filter={rule}" for rule in rules]
        delete = ["--delete-during"] if self.mirror else []
        slash = "/" if self.is_directory else ""
        # The user named the file, perhaps by a link; the link alone would be of no use.
        source = f"{self.local}/" if slash else os.path.realpath(self.local)
        return [
            *_OPTIONS,
            # A link that leaves the tree could lead to any file of the user: do not follow it.
            "--safe-links",
            *delete,
            *filters,
            "--",
            source,
            f"host:{self.remote}{slash}",
        ]

    def copies_arguments(self, folder: Path) -> list[str]:
        """Return the arguments of the rsync that sends :attr:`copies`, written to ``folder``."""
        filters = [f"--filter={rule}" for rule in filter_rules(())]
        options = [*_OPTIONS, "--copy-unsafe-links", *filters]
        return [*options, "--", f"{folder}/", f"host:{self.remote}/"]


def upload_trees(
    cube: Cube, placed: Iterable[PlacedParameter], paths: HostPaths, *, image: str = ""
) -> tuple[UploadTree, ...]:
    """Return what to send for tasks with the parameters ``placed``.

    Args:
        cube: The cube.
        placed: The parameters of all tasks of the job, in the order of the tasks.
        paths: The job's paths on its host.
        image: Path of an image file built on the host, which must not be deleted; may be empty.
    """
    items = tuple(placed)
    patterns = read_patterns(cube.root)
    # The default workspace belongs to runs without --workspace, so it is left alone.
    usual = attrs.evolve(cube, workspace=cube.root / "workspace")
    both = (cube,) if cube.workspace == usual.workspace else (cube, usual)
    wanted = _needed_inputs(items)
    is_apart = not cube.workspace.is_relative_to(cube.root)
    in_workspace = [path for path in wanted if path.is_relative_to(cube.workspace)]
    in_cube = [path for path in wanted if not (is_apart and path in in_workspace)]
    result = [
        UploadTree(
            local=cube.root,
            remote=paths.cube,
            rules=(
                *_image_rules(paths, image),
                *(rule for each in both for rule in _output_rules(each, cube.root, wanted)),
                *filter_rules(patterns),
                *(rule for each in both for rule in _results_rule(each)),
                *_other_workspace_rule(cube, usual.workspace, items),
                *_workspace_rule(cube),
            ),
            mirror=True,
            inputs=tuple(in_cube),
        )
    ]
    if is_apart and cube.workspace.is_dir():
        result.append(
            UploadTree(
                local=cube.workspace,
                remote=paths.workspace,
                rules=(*_output_rules(cube, cube.workspace, wanted), *filter_rules(())),
                inputs=tuple(in_workspace),
            )
        )
    data = [
        UploadTree(
            local=item.local,
            remote=posixpath.join(paths.root, data_directory(item.local)),
            inputs=(item.local,),
        )
        for item in items
        if item.where is DataLocation.CLIENT and not item.is_output and item.local is not None
    ]
    # Several tasks, or jobs of a sweep, may use the same data.
    return (*result, *dict.fromkeys(data))


def _needed_inputs(placed: Iterable[PlacedParameter]) -> tuple[Path, ...]:
    """Return the workspace paths to upload: inputs that no earlier task makes."""
    needed: list[Path] = []
    made: list[Path] = []
    for item in placed:
        if item.where is not DataLocation.WORKSPACE or item.local is None:
            continue
        if item.is_output:
            made.append(item.local)
        elif not any(item.local.is_relative_to(path) for path in made):
            needed.append(item.local)
    return tuple(needed)


def _output_rules(cube: Cube, top: Path, wanted: Iterable[Path]) -> list[str]:
    """Return rules that exclude the cube's outputs, except those that are inputs of this run."""
    kept = tuple(wanted)
    rules: list[str] = []
    for task in cube.tasks.values():
        for parameter in task.parameters:
            path = mirrored_path(parameter.value, cube)
            if parameter.io is not IO.OUTPUT or path is None:
                continue
            if path == top or not path.is_relative_to(top):
                continue
            if any(need.is_relative_to(path) or path.is_relative_to(need) for need in kept):
                continue
            directory = parameter.type is ParameterType.DIRECTORY or path.is_dir()
            rules.append(exclude_path(path.relative_to(top).as_posix(), directory=directory))
    return list(dict.fromkeys(rules))


def _results_rule(cube: Cube) -> list[str]:
    results = cube.workspace.parent / "results"
    if results == cube.root or not results.is_relative_to(cube.root):
        return []
    return [exclude_path(results.relative_to(cube.root).as_posix(), directory=True)]


def _image_rules(paths: HostPaths, image: str) -> list[str]:
    """Return rules that protect an image file in the mirror, and its companions, from deletion."""
    inside = posixpath.relpath(image, paths.cube) if image else ".."
    if inside.startswith(".."):
        return []
    folder, name = posixpath.split(escape(inside))
    return [f"P /{posixpath.join(folder, item)}" for item in (name, f".{name}.*", f".{name}.*/***")]


def _workspace_rule(cube: Cube) -> list[str]:
    if cube.workspace == cube.root:
        return ["P /**"]
    if not cube.workspace.is_relative_to(cube.root):
        return []
    inside = escape(cube.workspace.relative_to(cube.root).as_posix())
    return [f"P /{inside}/***"]


def _other_workspace_rule(cube: Cube, usual: Path, placed: Iterable[PlacedParameter]) -> list[str]:
    """Return rules that protect the cube's default workspace from a run with another workspace.

    Another run may use the default workspace: its files are neither deleted nor overwritten.
    """
    if cube.workspace == cube.root or usual.is_relative_to(cube.workspace):
        return []
    if any(item.local is not None and item.local.is_relative_to(usual) for item in placed):
        return ["P /workspace/***"]
    return [exclude_path("workspace", directory=True)]
