# SPDX-License-Identifier: Apache-2.0
"""``verify``: compare what is on this machine with what was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.events.output_content import list_files
from mlcube_remote.files.trees import list_tree, read_tree
from mlcube_remote.runs.attempts import job_name, latest_attempts
from mlcube_remote.runs.digests import Digests
from mlcube_remote.runs.manifests import ListedFile, Manifests

Document = Mapping[str, Any]


class Verdict(Enum):
    """What became of something that was recorded."""

    SAME = "same"
    CHANGED = "changed"
    MISSING = "missing"
    ADDED = "added"
    UNREADABLE = "unreadable"
    GONE = "no longer there"
    """A host need not keep what was pulled from it."""
    UNKNOWN = "not compared"
    """The names of the files behind a digest are not known."""

    @property
    def is_problem(self) -> bool:
        """Whether something is not as it was recorded."""
        return self not in {Verdict.SAME, Verdict.GONE, Verdict.UNKNOWN}


@attrs.frozen(kw_only=True)
class Finding:
    """One file, or one output or input as a whole."""

    verdict: Verdict
    what: str
    """``cube``, ``input TASK.NAME`` or ``output TASK.NAME``, and the job in front."""
    path: str
    """Path on this machine, or on the host."""


def verify(attempts: list[dict[str, Any]]) -> list[Finding]:
    """Read again the outputs, inputs and cube of a run, and return what became of them.

    Files are read whatever the cache of digests says. Outputs that the run did not write, and data
    that is only on a host, are not compared.

    Args:
        attempts: The records; only the last attempt of each job counts, because its outputs have
            replaced those of earlier ones.
    """
    reader = _Reader()
    last = latest_attempts(attempts)
    findings = [item for attempt in last for item in reader.outputs(attempt)]
    return [*findings, *_once(item for attempt in last for item in reader.sources(attempt))]


def _once(findings: Iterable[Finding]) -> Iterable[Finding]:
    """Return the findings without those of other jobs about the same path."""
    return {(item.path, item.verdict): item for item in findings}.values()


@attrs.define
class _FreshDigests(Digests):
    """Reads every file, once."""

    _read: dict[Path, str] = attrs.field(factory=dict, init=False)

    def of(self, path: Path) -> str:
        if path not in self._read:
            self._read[path] = self.read(path)
        return self._read[path]


@attrs.frozen
class _Reader:
    digests: Digests = attrs.field(factory=_FreshDigests)
    manifests: Manifests = attrs.field(factory=Manifests)

    def outputs(self, attempt: Document) -> Iterator[Finding]:
        for output in attempt["outputs"]:
            sha256 = output.get("sha256")
            if sha256 is None or output.get("state") == "unchanged":
                continue
            what = f"{job_name(dict(attempt))}: output {output['task']}.{output['name']}"
            # In a directory that was only updated, other files may be older than the run.
            yield from self._compare(
                what, Path(output["path"]), sha256, is_whole=output.get("state") != "updated"
            )

    def sources(self, attempt: Document) -> Iterator[Finding]:
        provenance = attempt["provenance"] or {}
        for item in provenance.get("inputs", ()):
            if item["sha256"] is not None and item["where"] in {"workspace", "client"}:
                what = f"input {item['task']}.{item['name']}"
                yield from self._compare(what, Path(item["path"]), item["sha256"], is_input=True)
        sha256 = provenance.get("cube", {}).get("sha256")
        listed = self.manifests.read(sha256) if sha256 else None
        if listed is not None and attempt["cube"]:
            root = Path(attempt["cube"]["path"]).parent
            yield from self._files("cube", root, listed, is_whole=False)

    def _compare(
        self,
        what: str,
        path: Path,
        sha256: str,
        *,
        is_whole: bool = True,
        is_input: bool = False,
    ) -> Iterator[Finding]:
        if not path.exists():
            yield Finding(verdict=Verdict.MISSING, what=what, path=str(path))
            return
        listed = self.manifests.read(sha256) if path.is_dir() else None
        try:
            if listed is not None:
                found = None if is_input else list_files(path, self.digests)
                yield from self._files(what, path, listed, is_whole=is_whole, found=found)
                return
            same = read_tree(path, self.digests, self.manifests).sha256 == sha256
        except OSError as problem:
            yield Finding(verdict=Verdict.UNREADABLE, what=what, path=str(problem.filename or path))
            return
        verdict = Verdict.SAME if same else Verdict.CHANGED
        yield Finding(verdict=verdict, what=what, path=str(path))

    def _files(
        self,
        what: str,
        root: Path,
        listed: Mapping[str, str],
        *,
        is_whole: bool,
        found: Iterable[ListedFile] | None = None,
    ) -> Iterator[Finding]:
        """Yield the verdict on each file of a directory."""
        if found is None:
            found = list_tree(root, self.digests, None if is_whole else listed)
        now = {file.name.decode("utf-8", "surrogateescape"): file.sha256 for file in found}
        for name, sha256 in listed.items():
            verdict = Verdict.SAME if now.get(name) == sha256 else Verdict.CHANGED
            if name not in now:
                verdict = Verdict.MISSING
            yield Finding(verdict=verdict, what=what, path=str(root / name))
        for name in sorted(now.keys() - listed.keys()) if is_whole else ():
            yield Finding(verdict=Verdict.ADDED, what=what, path=str(root / name))
