# SPDX-License-Identifier: Apache-2.0
"""Sending a cube up: which trees, with which rules, and the rsync that does it.

The mirror on the host becomes what the cube is here, except that results never go up and that
nothing is deleted in the workspace, where the host keeps what its tasks made.
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
from mlcube_remote.dispatch.ignore import escape, exclude_path, filter_rules, read_patterns
from mlcube_remote.dispatch.paths import HostPaths, data_room
from mlcube_remote.dispatch.placement import Placed, Where, mirrored_path
from mlcube_remote.dispatch.rsync import (
    IO_TIMEOUT,
    VANISHED,
    Moved,
    check,
    is_full,
    local_version,
    moved,
    readable_size,
)
from mlcube_remote.errors import TransferError
from mlcube_remote.transport.base import Connection, RsyncResult

_PARTIAL = ".mlcube-remote-partial"
"""Directories on a host with what has come of files, until all of them have."""

_OPTIONS = (
    "-rlpt",
    # A link that leaves the cube could lead to anything of the user's: it is named, not followed.
    "--safe-links",
    "--chmod=Du+rwx,u+rw,ug-s,o-t",
    "--delay-updates",
    f"--partial-dir={_PARTIAL}",
    f"--timeout={IO_TIMEOUT}",
    "--stats",
    "--no-human-readable",
)


_SENT = re.compile(rb"(?:^|\r)<f\S+ (.*)$", re.MULTILINE)
"""What ``--out-format=%i %n`` says of a file that was sent."""
_ESCAPED = re.compile(rb"\\#([0-7]{3})")
"""How rsync writes a byte of a name that is not to be printed."""
_PASSES = 3
"""Tries to send what is changed meanwhile."""
_CLOCK_STEP = 20_000_000
"""Nanoseconds by which a file system's clock may lag behind this machine's."""

_UNSAFE_LINK = re.compile(rb'(?:^|\r)ignoring unsafe symlink "(.*?)" -> ', re.MULTILINE)


@attrs.frozen(kw_only=True)
class Tree:
    """One directory (or file) of this machine and its mirror."""

    local: Path
    remote: str
    rules: tuple[str, ...] = ()
    """rsync filter rules, first match decides."""
    mirror: bool = False
    """Whether what is gone here is deleted there."""

    @property
    def is_directory(self) -> bool:
        """Whether the contents, rather than the thing itself, are sent."""
        return self.local.is_dir()

    def arguments(self) -> list[str]:
        """Return the arguments of the rsync that brings the mirror up to date."""
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


def trees(
    cube: Cube, placed: Iterable[Placed], paths: HostPaths, *, image: str = ""
) -> tuple[Tree, ...]:
    """Return what must be sent for tasks whose parameters are ``placed``.

    Args:
        cube: The cube.
        placed: The parameters of all tasks of the job, in the order they run.
        paths: The job's paths on its host.
        image: A file that was built there, if it is one; it stays there.
    """
    items = tuple(placed)
    patterns = read_patterns(cube.root)
    # What is in the workspace that a run has when it names none is its own, here and there.
    usual = attrs.evolve(cube, workspace=cube.root / "workspace")
    both = (cube,) if cube.workspace == usual.workspace else (cube, usual)
    wanted = _needed_inputs(items)
    result = [
        Tree(
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
        result.append(Tree(local=cube.workspace, remote=paths.workspace, rules=rules))
    data = [
        Tree(local=item.local, remote=posixpath.join(paths.root, data_room(item.local)))
        for item in items
        if item.where is Where.CLIENT and not item.is_output and item.local is not None
    ]
    # Several tasks, and the jobs of a sweep, may take the same data.
    return (*result, *dict.fromkeys(data))


def _needed_inputs(placed: Iterable[Placed]) -> tuple[Path, ...]:
    """Return the workspace paths that must go up: inputs that no earlier task makes."""
    needed: list[Path] = []
    made: list[Path] = []
    for item in placed:
        if item.where is not Where.WORKSPACE or item.local is None:
            continue
        if item.is_output:
            made.append(item.local)
        elif not any(item.local.is_relative_to(path) for path in made):
            needed.append(item.local)
    return tuple(needed)


def _output_rules(cube: Cube, top: Path, wanted: Iterable[Path]) -> list[str]:
    """Return rules that keep the cube's outputs here, but for those that are inputs now."""
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
    """Return rules that keep an image, and what belongs to it, where the mirror has them."""
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


def _other_workspace_rule(cube: Cube, usual: Path, placed: Iterable[Placed]) -> list[str]:
    """Return what keeps a run in a workspace of its own from the cube's usual one.

    Another run may be at work there: what it makes is neither deleted nor overwritten.
    """
    if cube.workspace == cube.root or usual.is_relative_to(cube.workspace):
        return []
    if any(item.local is not None and item.local.is_relative_to(usual) for item in placed):
        return ["P /workspace/***"]
    return [exclude_path("workspace", directory=True)]


def size_of(tree: Tree) -> Moved:
    """Return how much a mirror that has nothing yet would get: rsync's own count, sending nothing.

    Raises:
        TransferError: Something in the tree cannot be read.
        UsageError: There is no rsync here.
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
    return moved(result)


@attrs.frozen(kw_only=True)
class Sent:
    """What a transfer did."""

    moved: Moved
    left_out: tuple[str, ...]
    """Links that lead out of the tree, which were not sent."""


def send(
    connection: Connection,
    tree: Tree,
    *,
    progress: Callable[[str, float | None], None] | None = None,
) -> Sent:
    """Bring one mirror up to date.

    A file that changes while it is sent may arrive half old and half new: it is sent again.

    Args:
        connection: The host.
        tree: What to send.
        progress: Told the state of a long transfer: a text and a fraction.

    Raises:
        TransferError: The mirror is not complete; nothing must run on it.
    """
    total = Moved(0, 0)
    for _ in range(_PASSES):
        begun = time.time_ns()
        result = _transfer(connection, tree, progress)
        if result.code != VANISHED:
            _check(connection, tree, result)
        part = moved(result)
        total = Moved(total.files + part.files, total.size + part.size)
        changed = next(_changed_since(begun, tree, result.stdout), None)
        if result.code == 0 and changed is None:
            left_out = tuple(os.fsdecode(link) for link in _UNSAFE_LINK.findall(result.stdout))
            return Sent(moved=total, left_out=left_out)
    raise TransferError(
        connection.name,
        f"sync incomplete: {changed or tree.local} changes again and again while it is sent",
        hint="wait until nothing writes there, or name it in .mlcubeignore",
    )


def _check(connection: Connection, tree: Tree, result: RsyncResult) -> None:
    """Turn a failed rsync into an error; a disk that it filled is given its room back.

    Raises:
        TransferError: The transfer is not complete.
    """
    try:
        check(connection.name, "sync", result)
    except TransferError as problem:
        if not is_full(result):
            raise
        # The next try would go on from what came, but until then nothing else could be done there.
        told = connection.call("mlcr_remove_partial_files", tree.remote, _PARTIAL).text.strip()
        free = f": {readable_size(int(told) * 1024)} free" if told.isdigit() else ""
        reason = f"{problem.reason}; what had come was removed again{free}, for {size_of(tree)}"
        raise TransferError(connection.name, reason, hint=problem.hint) from problem


def _transfer(
    connection: Connection, tree: Tree, progress: Callable[[str, float | None], None] | None
) -> RsyncResult:
    output = bytearray()

    def read(data: bytes) -> None:
        output.extend(data)
        if progress is not None:
            _report(data, progress)

    options = ("--info=progress2,name1", "--out-format=%i %n")
    result = connection.rsync([*options, *tree.arguments()], on_stdout=read)
    return attrs.evolve(result, stdout=bytes(output))


def _changed_since(begun: int, tree: Tree, told: bytes) -> Iterator[Path]:
    """Find the files that rsync has sent and that were changed, or went, since *begun* (ns).

    The time of a file's last change of any kind cannot be set by the program that changes it.
    """
    top = tree.local if tree.is_directory else tree.local.parent
    for name in _SENT.findall(told):
        plain = _ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), name)
        path = top / os.fsdecode(plain)
        try:
            changed = path.lstat().st_ctime_ns >= begun - _CLOCK_STEP
        except FileNotFoundError:
            changed = True
        if changed:
            yield path


def _report(data: bytes, progress: Callable[[str, float | None], None]) -> None:
    """Read rsync's ``--info=progress2``: ``  1,234,567  42%  3.21MB/s    0:00:05``."""
    line = data.replace(b"\r", b"\n").strip().rsplit(b"\n", 1)[-1]
    words = line.split()
    if len(words) >= 3 and words[1].endswith(b"%") and words[1][:-1].isdigit():
        percent = int(words[1][:-1])
        progress(f"{percent}% {words[2].decode('ascii', 'replace')}", percent / 100)
