# SPDX-License-Identifier: Apache-2.0
"""The files behind the digest of a directory, so that a difference can be named.

::

    $XDG_STATE_HOME/mlcube-remote/manifests/SHA256.json   the files of a directory with this digest
                                            seen/STATS    the digest that a large directory had

A manifest is named after the digest that it explains, so each is written once. All of them may be
deleted: then only the names of files are lost, and large directories are read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.directories import make_private_directory, state_home
from mlcube_remote.runs.atomic import write_atomically

MAX_FILES = 20_000
"""Number of files from which a directory gets no manifest."""


@attrs.frozen(order=True)
class ListedFile:
    """One file of a directory."""

    name: bytes
    """POSIX path below the directory."""
    size: int
    sha256: str
    """Digest of the content; of a link, that of its target's path."""


def digest_of(files: Iterable[ListedFile]) -> str:
    """Return the digest of a directory with these files, which are sorted by name."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.sha256.encode() + b"  " + file.name + b"\0")
    return whole.hexdigest()


@attrs.frozen
class Manifests:
    """The manifests in one directory; what cannot be written or read counts as unknown."""

    root: Path = attrs.field(factory=lambda: state_home() / "manifests")

    def write(self, sha256: str, files: Iterable[ListedFile]) -> None:
        """Write the manifest of a directory, unless there is one."""
        listed = list(files)
        if len(listed) > MAX_FILES or self._path(sha256).exists():
            return
        rows = [
            [file.name.decode("utf-8", "surrogateescape"), file.size, file.sha256]
            for file in listed
        ]
        self._save(self._path(sha256), {"format": 1, "files": rows})

    def read(self, sha256: str) -> Mapping[str, str] | None:
        """Return name → digest of the files of a directory; ``None`` if that is not known."""
        try:
            rows = self._load(self._path(sha256))["files"]
            return {str(name): str(digest) for name, _, digest in rows}
        except (KeyError, TypeError, ValueError):
            return None

    def remember(self, stats: str, facts: Mapping[str, Any]) -> None:
        """Remember what a directory with these sizes and times was found to be."""
        self._save(self.root / "seen" / stats, dict(facts))

    def recall(self, stats: str) -> Mapping[str, Any]:
        """Return what was remembered; empty if nothing was."""
        return self._load(self.root / "seen" / stats)

    def _path(self, sha256: str) -> Path:
        return self.root / f"{sha256}.json"

    def _save(self, path: Path, document: Any) -> None:
        with contextlib.suppress(OSError):
            make_private_directory(path.parent)
            write_atomically(path, json.dumps(document))

    def _load(self, path: Path) -> Mapping[str, Any]:
        try:
            document = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}
