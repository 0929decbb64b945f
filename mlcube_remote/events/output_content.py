# SPDX-License-Identifier: Apache-2.0
r"""Size, digest and metrics of an output, to be recorded, compared and verified.

The digest of a directory is what this command prints in it::

    find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0r sha256sum -z -- | sha256sum
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.budgets import parse_json
from mlcube_remote.errors import UsageError
from mlcube_remote.runs.digests import Digests
from mlcube_remote.runs.manifests import ListedFile, Manifests, digest_of

OWN_PREFIX = ".mlcube-remote"
"""Prefix of our own files, which are not part of an output."""

MAX_METRICS_FILE = 1024 * 1024
"""Maximum size in bytes of a JSON or YAML file with metrics; larger files are data."""

MAX_METRICS = 200
"""Maximum number of metrics read from one file."""

_MAX_NAME = 100
"""Maximum number of characters in the name of a metric."""


@attrs.frozen(kw_only=True)
class OutputContent:
    """Size, digest and metrics of one output."""

    files: int
    """Number of files."""
    size: int
    """Size of all its files, in bytes."""
    sha256: str
    """Digest of the file, or of the directory as the module says, in hex."""
    metrics: Mapping[str, int | float] = attrs.field(factory=dict)
    """Dotted key → number, from a JSON or YAML file."""


def describe_output(path: Path, digests: Digests) -> OutputContent | None:
    """Describe a file, or a directory with its files; links in the directory do not count.

    Returns:
        The description; ``None`` if any file cannot be read.
    """
    try:
        # Other kinds, such as a pipe, could not be read to their end.
        return _content(path, digests) if path.is_file() or path.is_dir() else None
    except OSError:
        return None


def _content(path: Path, digests: Digests) -> OutputContent:
    if not path.is_dir():
        size = path.stat().st_size
        return OutputContent(
            files=1, size=size, sha256=digests.of(path), metrics=read_metrics(path)
        )
    files = list_files(path, digests)
    whole = digest_of(files)
    Manifests().write(whole, files)
    return OutputContent(files=len(files), size=sum(file.size for file in files), sha256=whole)


def list_files(folder: Path, digests: Digests) -> list[ListedFile]:
    """Return the files of an output that is a directory.

    Raises:
        OSError: A file cannot be read.
    """
    found = []
    for name in sorted(map(os.fsencode, _files(folder, ""))):
        file = folder / os.fsdecode(name)
        found.append(ListedFile(name, file.stat().st_size, digests.of(file)))
    return found


def _files(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(OWN_PREFIX):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(folder / entry.name, f"{prefix}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                yield prefix + entry.name


def read_metrics(path: Path) -> dict[str, int | float]:
    """Return dotted key → number of a JSON or YAML file; other and damaged files have no metrics.

    Lists, NaN and infinities are ignored.

    Raises:
        OSError: The file cannot be read.
    """
    if path.suffix not in {".json", ".yaml", ".yml"} or path.stat().st_size > MAX_METRICS_FILE:
        return {}
    try:
        found: dict[str, int | float] = {}
        for key, number in _numbers(_parsed(path), ""):
            if len(found) == MAX_METRICS:
                break
            found[key] = number
    except (ValueError, RecursionError, UsageError):
        return {}
    return found


def _parsed(path: Path) -> Any:
    if path.suffix == ".json":
        with path.open("rb") as file:
            return parse_json(file.read(MAX_METRICS_FILE + 1), MAX_METRICS_FILE)
    from mlcube_remote.yamlsource import load  # noqa: PLC0415 - few outputs are YAML

    return load(path, error=UsageError, max_bytes=MAX_METRICS_FILE).data


def _numbers(value: Any, key: str) -> Iterator[tuple[str, int | float]]:
    if len(key) > _MAX_NAME:
        return
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(item, f"{key}.{name}" if key else str(name))
    elif key and _is_number(value):
        yield key, value


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    # An integer with thousands of digits is not a measurement, and other programs cannot read it.
    return abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value)
