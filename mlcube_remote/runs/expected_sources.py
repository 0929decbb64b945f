# SPDX-License-Identifier: Apache-2.0
"""``rerun --verify``: is a job made from the same cube, inputs and image as its record says?"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

import attrs

from mlcube_remote.runs.compare import changed_files, describe_in_place, list_names
from mlcube_remote.runs.manifests import Manifests

Document = Mapping[str, Any]

_SHOWN = 12
"""Number of digits of a digest that are shown."""


class Source(Enum):
    """What the outputs of a job come from."""

    CUBE = "cube"
    INPUT = "input"
    IMAGE = "image"


@attrs.frozen
class ChangedSource:
    """A source that is not as it was recorded."""

    source: Source
    what: str
    how: str

    def __str__(self) -> str:
        return f"{self.what}: {self.how}"


@attrs.frozen(kw_only=True)
class ExpectedSources:
    """What the jobs of a run were made from, and what of it may differ."""

    recorded: Mapping[str, Document]
    """Name of a job → the ``provenance`` of its record."""
    root: str = ""
    """Directory of the cube: an input in it that differs is not reported as the cube, too."""
    allowed: Collection[Source] = frozenset()
    """Sources that may differ."""

    def changes(self, job: str, now: Document) -> tuple[ChangedSource, ...]:
        """Return what differs for one job; nothing if it has no record.

        Args:
            job: Name of the job.
            now: The ``provenance`` that it would have; sections that it lacks are not compared.
        """
        before = self.recorded.get(job)
        return () if before is None else tuple(compare_sources(before, now, self.root))

    def refused(self, changes: Collection[ChangedSource]) -> tuple[ChangedSource, ...]:
        """Return the changes that are not allowed."""
        return tuple(change for change in changes if change.source not in self.allowed)


def changes_text(changes: Collection[ChangedSource]) -> str:
    """Return a line for each change, as the end of a message."""
    return "".join(f"\n  {change}" for change in changes)


def changes_hint(changes: Collection[ChangedSource]) -> str:
    """Return what a user can do about changes that are not allowed."""
    options = " ".join(
        f"--allow-changed={source.value}"
        for source in Source
        if any(change.source is source for change in changes)
    )
    return f"bring back what was recorded, or compare the outputs anyway: {options}"


def unrecorded(provenance: Document) -> tuple[str, ...]:
    """Return which sources a record has no digest of, so that they cannot be compared."""
    found = [] if provenance.get("cube", {}).get("sha256") else ["cube"]
    found += [
        f"input {item['task']}.{item['name']}"
        for item in provenance.get("inputs", ())
        if item["where"] != "task" and _identify(item) is None
    ]
    return (*found, *([] if any(_image_digests(provenance)) else ["image"]))


def compare_sources(before: Document, now: Document, root: str = "") -> Iterator[ChangedSource]:
    """Yield the sources that differ between two ``provenance`` documents.

    What the first has no digest of is not compared.

    Args:
        before: The recorded one.
        now: The other one.
        root: Directory of the cube.
    """
    manifests = Manifests()
    inputs = list(_compare_inputs(before, now, manifests)) if "inputs" in now else []
    own = [os.path.relpath(path, root) for path, _ in inputs if root]
    if "cube" in now and (how := _compare_cubes(before, now["cube"], own, manifests)):
        yield ChangedSource(Source.CUBE, "cube", how)
    yield from (change for _, change in inputs)
    if "image" in now and (how := _compare_images(before, now)):
        yield ChangedSource(Source.IMAGE, "image", how)


def _compare_cubes(
    provenance: Document, now: Document, inputs: Collection[str], manifests: Manifests
) -> str:
    """Return how cubes differ, apart from these inputs."""
    before = provenance.get("cube", {})
    if before.get("sha256") is None or before["sha256"] == now["sha256"]:
        return ""
    if now["sha256"] is None:
        return f"it cannot be read: {now.get('problem')}"
    names = changed_files(before["sha256"], now["sha256"], manifests)
    others = [name for name in names if not any(_is_in(name, each) for each in inputs)]
    if names and not others:
        return ""
    how = _how(before["sha256"], now["sha256"], others)
    commit = (before.get("git") or {}).get("commit")
    return f"{how}; it was commit {commit[:_SHOWN]}" if commit else how


def _is_in(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}/")


def _compare_inputs(
    provenance: Document, now: Document, manifests: Manifests
) -> Iterator[tuple[str, ChangedSource]]:
    """Yield the path of each input that differs, and how."""
    found = {(item["task"], item["name"]): item for item in now["inputs"]}
    for old in provenance.get("inputs", ()):
        known = _identify(old)
        if known is None or old["where"] == "task":
            continue
        new = found.get((old["task"], old["name"]))
        current = None if new is None else _identify(new)
        if current != known:
            what = f"input {old['task']}.{old['name']}"
            names = changed_files(known, current, manifests)
            place = f"{old['path']}, "
            before, after = known.removeprefix(place), (current or "").removeprefix(place)
            how = _how(before, after, names) if current else "it cannot be read now"
            yield old["path"], ChangedSource(Source.INPUT, what, f"{old['path']}: {how}")


def _identify(item: Document) -> str | None:
    return item["sha256"] or describe_in_place(item)


def _image_digests(provenance: Document) -> tuple[str | None, str | None, frozenset[str]]:
    image = provenance.get("image", {})
    return image.get("id"), image.get("sha256"), frozenset(image.get("digests") or ())


def _compare_images(before: Document, now: Document) -> str:
    """Return how images differ; engines name the same image by its id or a registry's digest."""
    old_id, old_file, old_digests = _image_digests(before)
    new_id, new_file, new_digests = _image_digests(now)
    if old_id is None and old_file is None and not old_digests:
        return ""
    is_same = (
        (old_id is not None and old_id == new_id)
        or (old_file is not None and old_file == new_file)
        or old_digests & new_digests
    )
    if is_same:
        return ""
    old, new = old_id or old_file or min(old_digests), new_id or new_file
    return f"{now['image'].get('name')}: it was {_short(old)}, the host has {_short(new)}"


def _how(before: str, now: str, names: Sequence[str]) -> str:
    if names:
        return f"changed: {list_names(names)}"
    return f"it was {_short(before)}, it is {_short(now)}"


def _short(text: str | None) -> str:
    if text is None:
        return "one without a digest"
    return text[:_SHOWN] if len(text) == 64 else text
