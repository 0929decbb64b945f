# SPDX-License-Identifier: Apache-2.0
"""``diff``: what differs between two runs, or between two attempts of a job."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import attrs

from mlcube_remote.runs.attempts import job_name, latest_attempts
from mlcube_remote.runs.manifests import Manifests

Document = Mapping[str, Any]

SHOWN_FILES = 10
"""Number of files that a difference of directories names."""

_HOST_FACTS = ("hostname", "machine", "os", "kernel", "cpu", "cpus", "memory", "gpus", "gpu_driver")


@attrs.frozen(kw_only=True)
class Difference:
    """One value that differs."""

    job: str
    """Name of the job; empty: all jobs that are compared."""
    about: str
    """``cube``, ``inputs``, ``image``, ``settings``, ``host``, ``outputs`` or ``result``."""
    key: str
    before: Any
    after: Any
    note: str = ""
    """More about it: by how much numbers differ, or the files that do."""


@attrs.frozen(kw_only=True)
class OutputComparison:
    """One output of two attempts."""

    job: str
    output: str
    """``TASK.NAME``."""
    is_identical: bool
    note: str = ""
    """Which numbers differ, and by how much; or which files do."""


def compare_runs(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> tuple[Difference, ...]:
    """Return what differs between the last attempts of two runs.

    Jobs with the same name are compared. If each run has one job, these are.
    """
    first = {job_name(each): each for each in latest_attempts(before)}
    second = {job_name(each): each for each in latest_attempts(after)}
    if len(first) == len(second) == 1:
        (one,), (other,) = first.values(), second.values()
        return tuple(compare_attempts(one, other, ""))
    found: list[Difference] = []
    for name in dict.fromkeys((*first, *second)):
        if name in first and name in second:
            found += compare_attempts(first[name], second[name], name)
        else:
            presence = [name if name in each else None for each in (first, second)]
            found.append(
                Difference(
                    job=name, about="result", key="job", before=presence[0], after=presence[1]
                )
            )
    return tuple(found)


def compare_attempts(before: Document, after: Document, job: str) -> Iterator[Difference]:
    """Yield what differs between two attempts."""
    manifests = Manifests()
    rows = zip(_facts(before), _facts(after), strict=True)
    for (about, old), (_, new) in rows:
        for key in dict.fromkeys((*old, *new)):
            one, other = old.get(key), new.get(key)
            if one != other:
                note = _note(one, other, manifests)
                yield Difference(job=job, about=about, key=key, before=one, after=other, note=note)


def compare_outputs(before: Document, after: Document) -> Iterator[OutputComparison]:
    """Yield for each output of two attempts of a job whether it is the same."""
    manifests = Manifests()
    one, other = _outputs(before), _outputs(after)
    for name in dict.fromkeys((*one, *other)):
        old, new = one.get(name, {}), other.get(name, {})
        digests = old.get("sha256"), new.get("sha256")
        is_identical = digests[0] == digests[1] and digests[0] is not None
        note = ""
        if not is_identical:
            numbers = _compare_numbers(old.get("metrics", {}), new.get("metrics", {}))
            note = "; ".join(numbers) or _note(*digests, manifests)
            note = note if all(digests) else "not in both"
        yield OutputComparison(
            job=job_name(dict(after)), output=name, is_identical=is_identical, note=note
        )


def _facts(attempt: Document) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is compared: (subject, key → value)."""
    found = attempt["provenance"] or {}
    cube, host = found.get("cube", {}), found.get("host", {})
    git = cube.get("git") or {}
    engine = found.get("engine", {})
    yield "cube", {"sha256": cube.get("sha256"), "commit": git.get("commit")}
    yield (
        "inputs",
        {
            f"{item['task']}.{item['name']}": item["sha256"] or describe_in_place(item)
            for item in found.get("inputs", ())
        },
    )
    yield "image", dict(found.get("image", {}))
    yield "settings", {"platform": attempt["platform"], **found.get("settings", {})}
    yield "settings", {"parameters": attempt["parameters"], "secrets": found.get("secrets", [])}
    yield "host", {"name": attempt["host"], **{key: host.get(key) for key in _HOST_FACTS}}
    yield (
        "host",
        {"engine": engine.get("version"), "client": found.get("client", {}).get("version")},
    )
    yield "result", {"status": attempt["status"], "exit_code": attempt["exit_code"]}
    outputs = _outputs(attempt)
    yield "outputs", {name: output.get("sha256") for name, output in outputs.items()}
    yield (
        "outputs",
        {
            f"{name}: {key}": number
            for name, output in outputs.items()
            for key, number in output.get("metrics", {}).items()
        },
    )


def describe_in_place(item: Document) -> str | None:
    """Return what is recorded of an input that is used in place; ``None`` if nothing is."""
    if item.get("modified") is None:
        return None
    return f"{item['path']}, {item['size']} B, changed at {item['modified']}"


def _outputs(attempt: Document) -> dict[str, Document]:
    return {f"{each['task']}.{each['name']}": each for each in attempt["outputs"]}


def _note(before: Any, after: Any, manifests: Manifests) -> str:
    if _is_number(before) and _is_number(after):
        return _by_how_much(before, after)
    return list_names(changed_files(before, after, manifests))


def list_names(names: Sequence[str]) -> str:
    """Return the first names of files, and how many more there are."""
    more = f" and {len(names) - SHOWN_FILES} more" if len(names) > SHOWN_FILES else ""
    return ", ".join(names[:SHOWN_FILES]) + more


def changed_files(before: Any, after: Any, manifests: Manifests) -> list[str]:
    """Return the names of the files that differ between two digests; empty if not known."""
    old = manifests.read(before) if isinstance(before, str) and len(before) == 64 else None
    new = manifests.read(after) if isinstance(after, str) and len(after) == 64 else None
    if old is None or new is None:
        return []
    return [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]


def _compare_numbers(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys((*before, *after)):
        one, other = before.get(key), after.get(key)
        if one == other:
            continue
        if _is_number(one) and _is_number(other):
            yield f"{key} {_by_how_much(one, other)}"
        else:
            yield f"{key} {'appeared' if one is None else 'disappeared'}"


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _by_how_much(before: float, after: float) -> str:
    change = after - before
    if not before or not math.isfinite(change / before):
        return f"{change:+.6g}"
    return f"{change:+.6g} ({100 * change / abs(before):+.3g} %)"
