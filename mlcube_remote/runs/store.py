# SPDX-License-Identifier: Apache-2.0
"""Records of runs on this machine: small JSON documents, written atomically.

::

    $XDG_STATE_HOME/mlcube-remote/runs/RUN/run.json      written before the run does anything
                                           JOB.json      the last known state of one job

The records are a cache, because each host knows its own jobs. A damaged record is reported and
skipped; it never stops a command.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import attrs

from mlcube_remote.directories import state_home
from mlcube_remote.errors import RecordError
from mlcube_remote.runs.addresses import LAST, can_be_id, can_be_name
from mlcube_remote.runs.documents import Document, read_document, write_document
from mlcube_remote.runs.ids import is_run_id

RUN = "run"
"""Name of the document about the run; documents about jobs are named by the job's id."""


@attrs.frozen
class Store:
    """The records in one directory."""

    root: Path = attrs.field(factory=lambda: state_home() / "runs")

    def write(self, run_id: str, name: str, document: Document, *, durable: bool = False) -> None:
        """Write a document, replacing an older one.

        Args:
            run_id: The run.
            name: :data:`RUN`, or a job's id.
            document: The content; the format number is added.
            durable: Whether the document must survive a power failure.

        Raises:
            RecordError: The document cannot be written.
        """
        write_document(
            self._path(run_id, name),
            document,
            failed="the run cannot be recorded",
            root=self.root,
            durable=durable,
        )

    def read(self, run_id: str, name: str) -> Document | None:
        """Return a document, or ``None`` if it does not exist.

        Raises:
            RecordError: It is damaged, or a newer mlcube-remote has written it.
        """
        return read_document(self._path(run_id, name))

    def read_if_valid(self, run_id: str, name: str, warn: Callable[[str], None]) -> Document:
        """Return a document; an empty one if it does not exist or, with a warning, is damaged."""
        try:
            return self.read(run_id, name) or {}
        except RecordError as problem:
            warn(str(problem))
            return {}

    def has(self, run_id: str, name: str) -> bool:
        """Return whether a document exists, even a damaged one."""
        return self._path(run_id, name).exists()

    def runs(self) -> Iterator[str]:
        """Yield the ids of all recorded runs, newest first."""
        try:
            names = sorted(os.listdir(self.root), reverse=True)
        except FileNotFoundError:
            return
        yield from (name for name in names if is_run_id(name))

    def jobs(self, run_id: str) -> list[str]:
        """Return the ids of a run's recorded jobs, sorted."""
        names = sorted(path.stem for path in (self.root / run_id).glob("*.json"))
        return [name for name in names if name != RUN]

    def matching(self, text: str) -> list[str]:
        """Return the recorded runs that ``text`` may mean, newest first.

        Args:
            text: An id or a part of it, ``last``, or the name of a run. Several runs can have the
                same name: it means the newest.
        """
        run_ids = list(self.runs())
        if text in run_ids:
            return [text]
        if text == LAST:
            return list(islice((name for name in run_ids if self.has(name, RUN)), 1))
        if can_be_name(text) and (named := self._newest_named(text, run_ids)):
            return [named]
        return [name for name in run_ids if can_be_id(name, text)]

    def name_of(self, run_id: str) -> str:
        """Return the name that a user gave a run; empty if there is none."""
        try:
            return str((self.read(run_id, RUN) or {}).get("name") or "")
        except RecordError:
            return ""  # a damaged record is reported by the command that needs it

    def _newest_named(self, name: str, run_ids: Iterable[str]) -> str | None:
        return next((each for each in run_ids if self.name_of(each) == name), None)

    def forget(self, run_id: str) -> None:
        """Delete the records of a run, if there are any."""
        if is_run_id(run_id):
            shutil.rmtree(self.root / run_id, ignore_errors=True)

    def _path(self, run_id: str, name: str) -> Path:
        return self.root / run_id / f"{name}.json"
