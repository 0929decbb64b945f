# SPDX-License-Identifier: Apache-2.0
"""Plan an upload: choose the trees, and the rules for what of each is sent.

The mirror on the host becomes equal to the cube on this machine. There are two exceptions: results
are not uploaded, and nothing is deleted in the workspace, which contains the tasks' outputs.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

import attrs

from mlcube_remote.cube.model import IO, Cube, ParameterType
from mlcube_remote.files.filters import (
    escape,
    exclude_path,
    excluded_path,
    filter_rules,
    read_patterns,
)
from mlcube_remote.files.link_copies import LinkCopies
from mlcube_remote.files.rsync import IO_TIMEOUT
from mlcube_remote.plan.host_paths import HostPaths, data_directory
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.placed_job import PlacedJob
from mlcube_remote.plan.placement import (
    DataLocation,
    PlacedParameter,
    mirrored_path,
    place_parameters,
)

PARTIAL = ".mlcube-remote-partial"
"""Directory for partial files beside each file on the host, until its transfer is complete."""

_OPTIONS = (
    "-rlpt",
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
    """A file has the same name as on this machine."""
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

    @property
    def excluded(self) -> frozenset[str]:
        """Paths that are not sent, for example outputs; patterns of the user may exclude more.

        A slash at the end means that only a directory is not sent.
        """
        # A rule after one that includes something does not exclude that.
        first = takewhile(lambda rule: not rule.startswith("+"), self.rules)
        names = filter(None, map(excluded_path, first))
        return frozenset(os.path.join(self.local, name) for name in names)

    def arguments(self) -> list[str]:
        """Return the arguments of the rsync that updates the mirror."""
        replaced = () if self.copies is None else self.copies.replaced
        rules = (*(exclude_path(name, directory=False) for name in replaced), *self.rules)
        filters = [f"--filter={rule}" for rule in rules]
        delete = ["--delete-during"] if self.mirror else []
        if self.is_directory:
            # A link that leaves the tree could lead to any file of the user: do not follow it.
            ends = (
                "--safe-links",
                *delete,
                *filters,
                "--",
                f"{self.local}/",
                f"host:{self.remote}/",
            )
        else:
            # The user named the file, perhaps by a link; the link alone would be of no use. The
            # target is the directory: a task may have replaced the file there by a link to another
            # directory, and rsync follows a link that is named as the target.
            target = posixpath.dirname(self.remote)
            ends = ("--copy-links", *filters, "--", str(self.local), f"host:{target}/")
        return [*_OPTIONS, *ends]

    def copies_arguments(self, folder: Path) -> list[str]:
        """Return the arguments of the rsync that sends :attr:`copies`, written to ``folder``."""
        filters = [f"--filter={rule}" for rule in filter_rules(())]
        options = [*_OPTIONS, "--copy-unsafe-links", *filters]
        return [*options, "--", f"{folder}/", f"host:{self.remote}/"]


@attrs.frozen(kw_only=True)
class NeededData:
    """The data of this machine that tasks need, besides the rest of the cube."""

    in_cube: tuple[Path, ...] = ()
    """Inputs in the tree of the cube."""
    in_workspace: tuple[Path, ...] = ()
    """Inputs in a workspace outside the cube."""
    inputs: frozenset[Path] = frozenset()
    """Both."""
    above: frozenset[Path] = frozenset()
    """The inputs, and all directories above them."""
    in_data: tuple[Path, ...] = ()
    """Inputs with ``local:``."""
    uses_default_workspace: bool = False
    """Whether a parameter is in the ``workspace`` of the cube."""


def job_trees(job: PlacedJob, *, image: str = "") -> tuple[UploadTree, ...]:
    """Return what to send for a job: its mirror, then other data of this machine.

    Args:
        job: The job.
        image: Path of an image file built on the host, which must not be deleted; may be empty.
    """
    return (*mirror_trees(job, image=image), *data_trees(job))


def mirror_trees(job: PlacedJob, *, image: str = "") -> tuple[UploadTree, ...]:
    """Return the tree of the cube, and that of its workspace if it is elsewhere.

    Jobs of a sweep share the mirror, so the inputs of all of them are sent to it.

    Args:
        job: The job.
        image: As for :func:`job_trees`.
    """
    return cube_trees(job.spec.request.cube, _needed_by(job), job.paths, image)


def run_inputs(job: PlacedJob) -> tuple[Path, ...]:
    """Return the inputs that are sent for the job, or for all jobs of its sweep."""
    needed = _needed_by(job)
    return tuple(dict.fromkeys((*needed.in_cube, *needed.in_workspace, *needed.in_data)))


def _needed_by(job: PlacedJob) -> NeededData:
    """Return the data that a job needs, or all jobs of its sweep."""
    if job.spec.trial is not None:
        return _needed_by_all(job.spec.request)
    items = [item for _, item in job.task_parameters()]
    return needed_data(job.spec.request.cube, [items])


@lru_cache(maxsize=8)
def _needed_by_all(request: RunRequest) -> NeededData:
    """Return the data that the jobs of a sweep need; it is found once, not once for each job."""
    cubes = {id(trial.cube): trial.cube for trial in request.trials}
    host = request.hosts[0]  # what is in the mirror does not depend on the host
    placed = (
        [
            item
            for name in request.tasks
            for item in place_parameters(cube.tasks[name], cube, host, root=host.remote_root)
        ]
        for cube in cubes.values()
    )
    return needed_data(request.cube, placed)


def cube_trees(
    cube: Cube, needed: NeededData, paths: HostPaths, image: str
) -> tuple[UploadTree, ...]:
    """Return the cube, and its workspace if that is elsewhere."""
    # The default workspace belongs to runs without --workspace, so it is left alone.
    usual = attrs.evolve(cube, workspace=cube.root / "workspace")
    both = (cube,) if cube.workspace == usual.workspace else (cube, usual)
    result = UploadTree(
        local=cube.root,
        remote=paths.cube,
        rules=(
            *_image_rules(paths, image),
            *(rule for each in both for rule in _output_rules(each, cube.root, needed)),
            *filter_rules(read_patterns(cube.root)),
            *(rule for each in both for rule in _results_rule(each)),
            *_other_workspace_rule(cube, usual.workspace, needed),
            *_workspace_rule(cube),
        ),
        mirror=True,
        inputs=needed.in_cube,
    )
    if cube.workspace.is_relative_to(cube.root) or not cube.workspace.is_dir():
        return (result,)
    workspace = UploadTree(
        local=cube.workspace,
        remote=paths.workspace,
        rules=(*_output_rules(cube, cube.workspace, needed), *filter_rules(())),
        inputs=needed.in_workspace,
    )
    return result, workspace


def data_trees(job: PlacedJob) -> tuple[UploadTree, ...]:
    """Return the inputs with ``local:``, which are sent for the jobs that use them only.

    An image alone needs none: they may not exist yet.
    """
    if job.spec.request.configure_only:
        return ()
    # Several tasks may use the same data.
    data = dict.fromkeys(_client_inputs(item for _, item in job.task_parameters()))
    root = job.paths.root
    return tuple(
        UploadTree(local=path, remote=posixpath.join(root, data_directory(path)), inputs=(path,))
        for path in data
    )


def needed_data(cube: Cube, jobs: Iterable[Iterable[PlacedParameter]]) -> NeededData:
    """Return the data that jobs need, each with the parameters of its tasks in their order."""
    wanted: dict[Path, None] = {}
    data: dict[Path, None] = {}
    usual, uses_usual = cube.root / "workspace", False
    for placed in jobs:
        items = [item for item in placed if item.local is not None]
        uses_usual = uses_usual or any(_is_below(item, usual) for item in items)
        wanted |= dict.fromkeys(_needed_inputs(items))
        data |= dict.fromkeys(_client_inputs(items))
    is_apart = not cube.workspace.is_relative_to(cube.root)
    in_workspace = tuple(path for path in wanted if path.is_relative_to(cube.workspace))
    apart = frozenset(in_workspace if is_apart else ())
    return NeededData(
        in_cube=tuple(path for path in wanted if path not in apart),
        in_workspace=in_workspace,
        in_data=tuple(data),
        inputs=frozenset(wanted),
        above=frozenset(each for path in wanted for each in (path, *path.parents)),
        uses_default_workspace=uses_usual,
    )


def _client_inputs(placed: Iterable[PlacedParameter]) -> Iterator[Path]:
    for item in placed:
        if item.where is DataLocation.CLIENT and not item.is_output and item.local is not None:
            yield item.local


def _is_below(item: PlacedParameter, directory: Path) -> bool:
    return item.local is not None and item.local.is_relative_to(directory)


def _needed_inputs(placed: Iterable[PlacedParameter]) -> Iterator[Path]:
    """Yield the workspace paths to upload: inputs that no earlier task makes, or that exist here.

    An output directory of an earlier task may also contain files of the user. A file that an
    earlier task declares is only what that task makes.
    """
    directories: set[Path] = set()
    files: set[Path] = set()
    for item in placed:
        path = item.local
        if item.where is not DataLocation.WORKSPACE or path is None:
            continue
        if item.is_output:
            (directories if item.is_directory else files).add(path)
        elif path not in files and (
            directories.isdisjoint((path, *path.parents)) or os.path.lexists(path)
        ):
            yield path


def _output_rules(cube: Cube, top: Path, needed: NeededData) -> list[str]:
    """Return rules that exclude the cube's outputs, except those that are inputs of this run."""
    rules: list[str] = []
    for task in cube.tasks.values():
        for parameter in task.parameters:
            path = mirrored_path(parameter.value, cube)
            if parameter.io is not IO.OUTPUT or path is None:
                continue
            if path == top or not path.is_relative_to(top):
                continue
            if path in needed.above or not needed.inputs.isdisjoint((path, *path.parents)):
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


def _other_workspace_rule(cube: Cube, usual: Path, needed: NeededData) -> list[str]:
    """Return rules that protect the cube's default workspace from a run with another workspace.

    Another run may use the default workspace: its files are neither deleted nor overwritten.
    """
    if cube.workspace == cube.root or usual.is_relative_to(cube.workspace):
        return []
    if needed.uses_default_workspace:
        return ["P /workspace/***"]
    return [exclude_path("workspace", directory=True)]
