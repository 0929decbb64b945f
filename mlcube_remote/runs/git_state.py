# SPDX-License-Identifier: Apache-2.0
"""The commit of the Git repository that a cube is part of, and whether the cube differs from it.

A repository may have come with the cube, and its configuration can name programs that Git runs
(``core.fsmonitor``, filters). So Git never reads it: it gets a directory of ours with the commit,
and only the objects and the index of the repository.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path

import attrs

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REFERENCE = re.compile(r"refs/[A-Za-z0-9][A-Za-z0-9._/+@-]*")
_MAX_BYTES = 16 * 1024 * 1024
_MAX_CHARACTERS = 4096
_TIMEOUT_S = 10.0


@attrs.frozen(kw_only=True)
class GitState:
    """The state of the Git repository that a cube is part of."""

    commit: str
    dirty: bool | None
    """Whether files of the cube differ from the commit; ``None``: unknown."""


def read_git_state(cube: Path, sent: Collection[bytes] = ()) -> GitState | None:
    """Return the state of the repository that a cube is part of.

    Args:
        cube: Directory of the cube.
        sent: POSIX paths below it of the files that are sent: of the files that Git does not know,
            only these count.

    Returns:
        The state; ``None`` if there is no repository, or it has no commit.
    """
    top = next((each for each in (cube, *cube.parents) if (each / ".git").exists()), None)
    if top is None:
        return None
    try:
        folder = _git_directory(top / ".git")
        common = folder / _read(folder / "commondir") if (folder / "commondir").exists() else folder
        commit = _resolve(folder, common)
    except (OSError, ValueError):
        return None
    if commit is None:
        return None
    changes = _changes(top, cube, folder, common, commit)
    if changes is None:
        return GitState(commit=commit, dirty=None)
    prefix = os.fsencode(os.path.relpath(cube, top)) + b"/"
    names = {(prefix + name).removeprefix(b"./") for name in sent}
    is_dirty = any(not line.startswith(b"?? ") or line[3:] in names for line in changes)
    return GitState(commit=commit, dirty=is_dirty)


def _git_directory(path: Path) -> Path:
    """Return the directory of a repository; a work tree that shares one has a file instead."""
    if path.is_dir():
        return path
    return path.parent / _read(path).removeprefix("gitdir:").strip()


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MAX_CHARACTERS).decode("utf-8").strip()


def _resolve(folder: Path, common: Path) -> str | None:
    head = _read(folder / "HEAD")
    if not head.startswith("ref:"):
        return head if _COMMIT.fullmatch(head) else None
    name = head.removeprefix("ref:").strip()
    if not _REFERENCE.fullmatch(name) or ".." in name:
        return None
    loose = common / name
    text = _read(loose) if loose.is_file() else _find_packed(common / "packed-refs", name)
    return text if _COMMIT.fullmatch(text) else None


def _find_packed(path: Path, name: str) -> str:
    with path.open("rb") as file:
        for line in file.read(_MAX_BYTES).splitlines():
            digits, _, found = line.partition(b" ")
            if found == name.encode():
                return digits.decode("ascii")
    return ""


def _changes(top: Path, cube: Path, folder: Path, common: Path, commit: str) -> list[bytes] | None:
    """Return what ``git status`` lists below the cube, or ``None`` if it gives no answer."""
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-") as own:
        for name in ("objects", "refs", "info"):
            (Path(own) / name).mkdir()
        (Path(own) / "info/exclude").symlink_to(common / "info/exclude")
        (Path(own) / "HEAD").write_text(f"{commit}\n", encoding="ascii")
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
            "GIT_DIR": own,
            "GIT_WORK_TREE": str(top),
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(common / "objects"),
            "GIT_OPTIONAL_LOCKS": "0",
        }
        command = ["git", "-c", "core.fsmonitor=false", "status", "--porcelain", "-z"]
        command += ["--untracked-files=all", "--ignore-submodules=all", "--no-renames"]
        try:
            done = subprocess.run(
                [*command, "--", str(cube)],
                cwd=top,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
    return done.stdout.split(b"\0")[:-1] if done.returncode == 0 else None
