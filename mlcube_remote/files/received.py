# SPDX-License-Identifier: Apache-2.0
"""Judge what a host sent: refuse what no honest task makes, and omit single entries.

A task may leave a link to a path of its container, a pipe or a socket in its output. Such an entry
is omitted and reported, and the rest is kept. A name that was not requested is refused with all
that came with it: only a hostile host sends it.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from mlcube_remote.errors import UnsafeContentError
from mlcube_remote.files.staging import DeclaredOutput, owner_of, remove_tree, walk

MAX_ENTRIES = 1_000_000
"""Maximum number of files in one pull; a hostile host might send any number."""

MAX_DEPTH = 200
"""Maximum number of nested directories in one pull."""


@attrs.frozen
class Omitted:
    """An entry of an output that is not pulled."""

    path: str
    """Below the directory that is pulled."""
    reason: str

    def __str__(self) -> str:
        return f"{self.path!r} {self.reason}"


@attrs.frozen
class ContainerMount:
    """A directory of the host, and where the task's container saw it."""

    source: str
    """POSIX path below the directory that is pulled."""
    target: str
    """Absolute path in the container."""


def check_received(
    host: str,
    staging: Path,
    declared: Iterable[DeclaredOutput],
    mounts: Sequence[ContainerMount] = (),
) -> tuple[Omitted, ...]:
    """Remove entries that cannot be kept from a staging directory, and return them.

    Links to paths of the container that lead into their own output are rewritten.

    Args:
        host: Inventory name, for the message.
        staging: The directory that rsync filled.
        declared: The requested outputs.
        mounts: What the container's paths mean.

    Raises:
        UnsafeContentError: It contains an undeclared name, too many files, or too deep a tree.
    """
    outputs = tuple(declared)
    omitted: list[Omitted] = []
    for relative, owner, mode in _entries(host, staging, outputs):
        if stat.S_ISLNK(mode):
            reason = _settle_link(staging, relative, owner, mounts)
        elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            reason = "is neither a file nor a directory"
        elif owner.directory is None or owner.directory == stat.S_ISDIR(mode):
            continue
        elif stat.S_ISDIR(mode):
            reason = "is a directory, but was declared as a file"
        else:
            reason = "is a file, but was declared as a directory"
        if reason:
            omitted.append(Omitted(relative, reason))
            _remove(staging / relative)
    return tuple(omitted)


def _entries(
    host: str, staging: Path, outputs: Sequence[DeclaredOutput]
) -> list[tuple[str, DeclaredOutput, int]]:
    """Return (path, output, mode) of the outputs, and of everything else that is no plain file.

    Raises:
        UnsafeContentError: A name was not requested, or there are too many.
    """
    found = []
    for count, (relative, entry) in enumerate(walk(staging)):
        if count >= MAX_ENTRIES:
            raise unsafe(host, f"more than {MAX_ENTRIES:,} files")
        if relative.count("/") >= MAX_DEPTH:
            raise unsafe(host, f"more than {MAX_DEPTH} nested directories")
        mode = entry.stat(follow_symlinks=False).st_mode
        owner = owner_of(relative, outputs)
        is_plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
        if owner is not None and (relative == owner.path or not is_plain):
            found.append((relative, owner, mode))
        if owner is None and not _is_expected(relative, mode, outputs):
            raise unsafe(host, f"{relative!r} was not declared as an output")
    return found


def _is_expected(relative: str, mode: int, outputs: Iterable[DeclaredOutput]) -> bool:
    """Return whether an entry outside all outputs may exist.

    It may be a directory above an output, or be below an output that was declared as a file.
    """
    return any(
        (stat.S_ISDIR(mode) and output.is_below(relative)) or relative.startswith(output.path + "/")
        for output in outputs
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)  # it was removed with its directory


def _settle_link(
    staging: Path, relative: str, owner: DeclaredOutput, mounts: Sequence[ContainerMount]
) -> str:
    """Keep or rewrite a link that stays in its output; return why any other must be omitted."""
    target = os.readlink(staging / relative)
    if _stays_inside(relative, target, owner):
        return ""
    inner = _through_mounts(target, mounts)
    if inner is not None and owner.contains(inner):
        rewritten = posixpath.relpath(inner, posixpath.dirname(relative) or ".")
        if _stays_inside(relative, rewritten, owner):
            os.unlink(staging / relative)
            os.symlink(rewritten, staging / relative)
            return ""
    return f"is a link to {target!r}, outside its output"


def _stays_inside(relative: str, target: str, owner: DeclaredOutput) -> bool:
    """Return whether a link leads to a path of its own output.

    ``..`` is allowed only at the start: after a name, which may itself be a link, ``..`` leads to
    where that link points, whatever the text says. Without it, a chain of links that each stay
    inside cannot lead out.
    """
    names = [name for name in target.split("/") if name not in {"", "."}]
    ups = next((count for count, name in enumerate(names) if name != ".."), len(names))
    if not target or os.path.isabs(target) or ".." in names[ups:]:
        return False
    inside = os.path.normpath(os.path.join(os.path.dirname(relative), target))
    if inside == ".." or inside.startswith("../"):
        return False
    return owner.path == "." or (inside + "/").startswith(owner.path + "/")


def _through_mounts(target: str, mounts: Sequence[ContainerMount]) -> str | None:
    """Return the path that a container's absolute path means, below the directory pulled."""
    if not os.path.isabs(target) or ".." in target.split("/"):
        return None
    path = os.path.normpath("/" + target.lstrip("/"))
    for mount in sorted(mounts, key=lambda each: len(each.target), reverse=True):
        if path == mount.target or path.startswith(mount.target + "/"):
            return posixpath.normpath(posixpath.join(mount.source, "." + path[len(mount.target) :]))
    return None


def unsafe(host: str, what: str) -> UnsafeContentError:
    """Return the error for content that only a hostile host sends."""
    return UnsafeContentError(
        host,
        f"refused what the host sent back: {what}",
        hint="none of these files was put in place; look at the outputs on the host first",
    )
