# SPDX-License-Identifier: Apache-2.0
r"""What an output holds, in a few words that can be kept, compared and verified.

A directory's digest is what this prints in it, so that anybody can check it::

    find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0r sha256sum -z -- | sha256sum
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.errors import UsageError
from mlcube_remote.runs.digests import Digests

OURS = ".mlcube-remote"
"""Beginning of the names of files that are no part of an output."""

LARGEST = 1024 * 1024
"""Bytes beyond which a JSON or YAML file is data rather than metrics."""

MOST = 200
"""Numbers that are taken from one file."""

_LONGEST = 100
"""Characters of a number's name; longer ones name no column."""


@attrs.frozen(kw_only=True)
class OutputContent:
    """What one output holds."""

    files: int
    size: int
    """Bytes of all its files."""
    sha256: str
    """Of the file; of a directory as the module says. In hex."""
    metrics: Mapping[str, int | float] = attrs.field(factory=dict)
    """Numbers in a JSON or YAML file, by their dotted keys."""


def describe_output(path: Path, digests: Digests) -> OutputContent | None:
    """Return what is at a path: a file, or a directory with its files; links in it do not count.

    Returns:
        ``None`` where some of it cannot be read.
    """
    try:
        # A pipe, say, could not be read to its end.
        return _content(path, digests) if path.is_file() or path.is_dir() else None
    except OSError:
        return None


def _content(path: Path, digests: Digests) -> OutputContent:
    if not path.is_dir():
        size = path.stat().st_size
        return OutputContent(
            files=1, size=size, sha256=digests.of(path), metrics=read_metrics(path)
        )
    whole, count, total = hashlib.sha256(), 0, 0
    for name in sorted(map(os.fsencode, _files(path, ""))):
        file = path / os.fsdecode(name)
        whole.update(digests.of(file).encode() + b"  " + name + b"\0")
        count, total = count + 1, total + file.stat().st_size
    return OutputContent(files=count, size=total, sha256=whole.hexdigest())


def _files(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(OURS):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(folder / entry.name, f"{prefix}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                yield prefix + entry.name


def read_metrics(path: Path) -> dict[str, int | float]:
    """Return the numbers of a JSON or YAML file by their dotted keys; of any other file, none.

    Lists are passed over, and so is what is no finite number. A file that is damaged has none.

    Raises:
        OSError: It cannot be read.
    """
    if path.suffix not in {".json", ".yaml", ".yml"} or path.stat().st_size > LARGEST:
        return {}
    try:
        found: dict[str, int | float] = {}
        for key, number in _numbers(_parsed(path), ""):
            if len(found) == MOST:
                break
            found[key] = number
    except (ValueError, RecursionError, UsageError):
        return {}
    return found


def _parsed(path: Path) -> Any:
    if path.suffix == ".json":
        return json.loads(path.read_bytes())
    from mlcube_remote.yamlsource import load  # noqa: PLC0415 - few outputs are YAML

    return load(path, error=UsageError).data


def _numbers(value: Any, key: str) -> Iterator[tuple[str, int | float]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(item, f"{key}.{name}" if key else str(name))
    elif key and len(key) <= _LONGEST and _is_number(value):
        yield key, value


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    # An integer with thousands of digits is no measurement, and no other program could read it.
    return abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value)
