# SPDX-License-Identifier: Apache-2.0
"""What this machine remembers of the mirrors that its runs left on hosts: one document for each.

::

    $XDG_STATE_HOME/mlcube-remote/mirrors/DIGEST.json

With it a run asks its host in one call whether anything has changed. It is a cache: a document that
is missing, damaged or out of date only costs the round trips that it would have saved.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import attrs

from mlcube_remote.directories import state_home
from mlcube_remote.errors import RecordError
from mlcube_remote.runs.documents import FORMAT, read_document, write_document

MAX_DOCUMENTS = 2_000
"""Number of documents; those that were not written for the longest time are deleted."""

_MAX_SIZE = 64 * 1024
"""Maximum size of a document in bytes."""


@attrs.frozen(kw_only=True)
class SentMirror:
    """What was so at the end of the preparation of an earlier run."""

    host: str
    """The answer to the probe, without what changes from run to run."""
    image: str
    """What the engine said about the image."""
    sent: str
    """Digest of what was sent, as this machine had it."""
    mirror: str
    """SHA-256 of the host's description of the mirror."""


@attrs.frozen
class SentMirrors:
    """The documents in one directory."""

    root: Path = attrs.field(factory=lambda: state_home() / "mirrors")

    def read(self, key: Sequence[str]) -> SentMirror | None:
        """Return what is remembered; ``None`` if that is nothing, or cannot be used."""
        path = self._path(key)
        try:
            if path.stat().st_size > _MAX_SIZE:
                return None
            document = read_document(path)
        except (OSError, RecordError):
            return None
        # There has never been a lower format.
        if document is None or document["format"] != FORMAT:
            return None
        values = {field.name: document.get(field.name) for field in attrs.fields(SentMirror)}
        if not all(isinstance(value, str) and value for value in values.values()):
            return None
        return SentMirror(**{name: str(value) for name, value in values.items()})

    def write(self, key: Sequence[str], mirror: SentMirror) -> None:
        """Remember a mirror; do nothing if it cannot be written."""
        document = attrs.asdict(mirror)
        if len(json.dumps(document)) > _MAX_SIZE // 2:
            return
        with contextlib.suppress(RecordError):
            write_document(self._path(key), document, failed="", root=self.root)
        self._drop_oldest()

    def forget(self, key: Sequence[str]) -> None:
        """Forget a mirror."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def _drop_oldest(self) -> None:
        with contextlib.suppress(OSError):
            documents = list(self.root.glob("*.json"))
            if len(documents) <= MAX_DOCUMENTS:
                return
            documents.sort(key=lambda path: path.stat().st_mtime)
            for path in documents[:-MAX_DOCUMENTS]:
                path.unlink(missing_ok=True)

    def _path(self, key: Sequence[str]) -> Path:
        digest = hashlib.sha256(json.dumps(list(key)).encode()).hexdigest()
        return self.root / f"{digest[:32]}.json"
