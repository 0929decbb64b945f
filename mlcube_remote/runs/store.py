# SPDX-License-Identifier: Apache-2.0
"""What this machine remembers of its runs: small JSON documents, whole or not there at all.

::

    $XDG_STATE_HOME/mlcube-remote/runs/RUN/run.json      written before anything happens anywhere
                                           JOB.json      what is known of one of its jobs

It is a cache: the hosts know their jobs themselves. Hence a damaged document is told and passed
over, never a reason to stop.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.runs.atomic import write_whole
from mlcube_remote.runs.ids import is_run_id

FORMAT = 1
"""Version of the documents; a higher one was written by a later mlcube-remote."""

RUN = "run"
"""Name of the document about the run itself."""

Document = dict[str, Any]


class RecordError(MLCubeRemoteError):
    """A record cannot be read or written."""


def state_home() -> Path:
    """Return the folder for what mlcube-remote keeps about this user's work on this machine."""
    base = os.environ.get("XDG_STATE_HOME", "")
    home = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "state"
    return home / "mlcube-remote"


@attrs.frozen
class Store:
    """The records below one folder; see the module."""

    root: Path = attrs.field(factory=lambda: state_home() / "runs")

    def write(self, run_id: str, name: str, document: Document, *, durable: bool = False) -> None:
        """Put a document in the place of the one of that name.

        Args:
            run_id: The run.
            name: :data:`RUN`, or a job's id.
            document: What to keep; its format number is added.
            durable: Whether it must be on the disk, whatever happens to this machine, when this
                returns.

        Raises:
            RecordError: It cannot be written.
        """
        folder = self.root / run_id
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            written = json.dumps({"format": FORMAT, **document}, ensure_ascii=True) + "\n"
            write_whole(folder / f"{name}.json", written, durable=durable)
        except OSError as problem:
            raise RecordError(
                f"the run cannot be recorded: {problem.filename}: {problem.strerror}",
                hint=f"make {self.root} writable, or point XDG_STATE_HOME elsewhere",
            ) from problem

    def read(self, run_id: str, name: str) -> Document | None:
        """Return a document, or ``None`` where there is none.

        Raises:
            RecordError: It is damaged, or of a later mlcube-remote.
        """
        path = self.root / run_id / f"{name}.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as problem:
            raise RecordError(f"{path}: damaged record ({problem})", hint=f"rm {path}") from problem
        if not isinstance(document, dict) or not isinstance(document.get("format"), int):
            raise RecordError(f"{path}: damaged record (no format number)", hint=f"rm {path}")
        if document["format"] > FORMAT:
            raise RecordError(
                f"{path}: format {document['format']} is of a later mlcube-remote than this one, "
                f"which reads up to {FORMAT}",
                hint="upgrade: pip install --upgrade mlcube-remote",
            )
        return document

    def has(self, run_id: str, name: str) -> bool:
        """Return whether there is such a document, whole or damaged."""
        return (self.root / run_id / f"{name}.json").exists()

    def runs(self) -> Iterator[str]:
        """Yield the ids of all runs that are remembered, the newest first."""
        try:
            names = sorted(os.listdir(self.root), reverse=True)
        except FileNotFoundError:
            return
        yield from (name for name in names if is_run_id(name))

    def jobs(self, run_id: str) -> list[str]:
        """Return the ids of a run's jobs of which anything is remembered."""
        folder = self.root / run_id
        found = sorted(path.stem for path in folder.glob("*.json"))
        return [name for name in found if name != RUN]

    def matching(self, text: str) -> list[str]:
        """Return the remembered runs whose id is, begins with or ends with ``text``."""
        found = list(self.runs())
        if text in found:
            return [text]
        return [name for name in found if name.startswith(text) or name.endswith(text)]

    def forget(self, run_id: str) -> None:
        """Delete what is remembered of a run; what is not there needs no deleting."""
        if is_run_id(run_id):
            shutil.rmtree(self.root / run_id, ignore_errors=True)
