# SPDX-License-Identifier: Apache-2.0
"""Upload a cube: choose the trees and the filter rules, and run rsync.

The mirror on the host becomes equal to the cube on this machine. There are two exceptions: results
are not uploaded, and nothing is deleted in the workspace, which contains the tasks' outputs.
"""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs

from mlcube_remote.cube.model import IO, Cube, ParameterType
from mlcube_remote.errors import TransferError
from mlcube_remote.files.filters import escape, exclude_path, filter_rules, read_patterns
from mlcube_remote.files.rsync import (
    IO_TIMEOUT,
    VANISHED,
    TransferStats,
    check,
    is_full,
    local_version,
    parse_stats,
)
from mlcube_remote.formatting import readable_size
from mlcube_remote.plan.host_paths import HostPaths, data_directory
from mlcube_remote.plan.placement import DataLocation, PlacedParameter, mirrored_path
from mlcube_remote.transport.base import Connection, RsyncResult

_PARTIAL = ".mlcube-remote-partial"
"""Directory for partial files beside each file on the host, until its transfer is complete."""

_OPTIONS = (
    "-rlpt",
    # A link that leaves the cube could lead to any file of the user: report it, do not follow it.
    "--safe-links",
    "--chmod=Du+rwx,u+rw,ug-s,o-t",
    "--delay-updates",
    f"--partial-dir={_PARTIAL}",
    f"--timeout={IO_TIMEOUT}",
    "--stats",
    "--no-human-readable",
)


_SENT = re.compile(rb"(?:^|\r)<f\S+ (.*)$", re.MULTILINE)
"""A line of ``--out-format=%i %n`` for a file that was sent."""
_ESCAPED = re.compile(rb"\\#([0-7]{3})")
"""How rsync prints a byte of a file name that is not printable."""
_MAX_PASSES = 3
"""Maximum number of transfers if files keep changing."""
_CLOCK_STEP_NS = 20_000_000
"""Nanoseconds by which a file system's clock may lag behind this machine's."""

_UNSAFE_LINK = re.compile(rb'(?:^|\r)ignoring unsafe symlink "(.*?)" -> ', re.MULTILINE)


@attrs.frozen(kw_only=True)
class UploadTree:
    """One directory or file of this machine, and its mirror on a host."""

    local: Path
    remote: str
    rules: tuple[str, ...] = ()
    """rsync filter rules; the first match decides."""
    mirror: bool = False
    """Whether to delete files on the host that no longer exist on this machine."""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory, whose contents are sent."""
        return self.local.is_dir()

    def arguments(self) -> list[str]:
        """Return the arguments of the rsync that updates the mirror."""
        filters = [f"--filter={rule}" for rule in self.rules]
        delete = ["--delete-delay"] if self.mirror else []
        slash = "/" if self.is_directory else ""
        return [
            *_OPTIONS,
            *delete,
            *filters,
            "--",
            f"{self.local}{slash}",
            f"host:{self.remote}{slash}",
        ]


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
        )
    ]
    if not cube.workspace.is_relative_to(cube.root) and cube.workspace.is_dir():
        rules = (*_output_rules(cube, cube.workspace, wanted), *filter_rules(()))
        result.append(UploadTree(local=cube.workspace, remote=paths.workspace, rules=rules))
    data = [
        UploadTree(local=item.local, remote=posixpath.join(paths.root, data_directory(item.local)))
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


def upload_size(tree: UploadTree) -> TransferStats:
    """Return the size of a first upload, as rsync counts it in a dry run.

    Raises:
        TransferError: A file in the tree cannot be read.
        UsageError: This machine has no rsync.
    """
    local_version()
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-") as nothing:
        *options, source, _ = tree.arguments()
        done = subprocess.run(
            ["rsync", "--dry-run", *options, source, f"{nothing}/"],
            capture_output=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    result = RsyncResult(done.returncode, done.stdout, done.stderr)
    check("local", "dry run", result)
    return parse_stats(result)


@attrs.frozen(kw_only=True)
class UploadResult:
    """The result of an upload."""

    moved: TransferStats
    left_out: tuple[str, ...]
    """Links out of the tree, which were not sent."""


def upload(
    connection: Connection,
    tree: UploadTree,
    *,
    progress: Callable[[str, float | None], None] | None = None,
) -> UploadResult:
    """Update one mirror.

    A file that changes during the transfer may arrive half old and half new, so it is sent again.

    Args:
        connection: The host.
        tree: What to send.
        progress: Called during a long transfer with a text and a fraction.

    Raises:
        TransferError: The mirror is incomplete; no task may run on it.
    """
    total = TransferStats(0, 0)
    for _ in range(_MAX_PASSES):
        started = time.time_ns()
        result = _transfer(connection, tree, progress)
        if result.code != VANISHED:
            _check(connection, tree, result)
        part = parse_stats(result)
        total = TransferStats(total.files + part.files, total.size + part.size)
        changed = next(_changed_since(started, tree, result.stdout), None)
        if result.code == 0 and changed is None:
            left_out = tuple(os.fsdecode(link) for link in _UNSAFE_LINK.findall(result.stdout))
            return UploadResult(moved=total, left_out=left_out)
    raise TransferError(
        connection.name,
        f"sync incomplete: {changed or tree.local} changed during each of {_MAX_PASSES} transfers",
        hint="wait until nothing writes to it, or exclude it in .mlcubeignore",
    )


def _check(connection: Connection, tree: UploadTree, result: RsyncResult) -> None:
    """Raise an error if rsync failed; if it filled the host's disk, remove the partial files.

    Raises:
        TransferError: The transfer is incomplete.
    """
    try:
        check(connection.name, "sync", result)
    except TransferError as problem:
        if not is_full(result):
            raise
        # The next try could continue with them, but until then the host's disk would be full.
        kibibytes = connection.call("mlcr_remove_partial_files", tree.remote, _PARTIAL).text.strip()
        free = f" ({readable_size(int(kibibytes) * 1024)} free)" if kibibytes.isdigit() else ""
        reason = f"{problem.reason}; needed: {upload_size(tree)}; partial files were removed{free}"
        raise TransferError(connection.name, reason, hint=problem.hint) from problem


def _transfer(
    connection: Connection, tree: UploadTree, progress: Callable[[str, float | None], None] | None
) -> RsyncResult:
    output = bytearray()

    def read(data: bytes) -> None:
        output.extend(data)
        if progress is not None:
            _report(data, progress)

    options = ("--info=progress2,name1", "--out-format=%i %n")
    result = connection.rsync([*options, *tree.arguments()], on_stdout=read)
    return attrs.evolve(result, stdout=bytes(output))


def _changed_since(started: int, tree: UploadTree, stdout: bytes) -> Iterator[Path]:
    """Find files that rsync has sent and that were changed or deleted since ``started`` (ns).

    ctime counts, because a program cannot set it.
    """
    top = tree.local if tree.is_directory else tree.local.parent
    for name in _SENT.findall(stdout):
        plain = _ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), name)
        path = top / os.fsdecode(plain)
        try:
            changed = path.lstat().st_ctime_ns >= started - _CLOCK_STEP_NS
        except FileNotFoundError:
            changed = True
        if changed:
            yield path


def _report(data: bytes, progress: Callable[[str, float | None], None]) -> None:
    """Parse rsync's ``--info=progress2``: ``  1,234,567  42%  3.21MB/s    0:00:05``."""
    line = data.replace(b"\r", b"\n").strip().rsplit(b"\n", 1)[-1]
    words = line.split()
    if len(words) >= 3 and words[1].endswith(b"%") and words[1][:-1].isdigit():
        percent = int(words[1][:-1])
        progress(f"{percent}% {words[2].decode('ascii', 'replace')}", percent / 100)
