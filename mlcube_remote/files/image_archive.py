# SPDX-License-Identifier: Apache-2.0
"""Leave layers out of an image archive: Docker loads one without the layers that it has.

The archive may come from a host, so it is data: it is read once from front to back with limits, and
nothing in it is unpacked.
"""

from __future__ import annotations

import gzip
import posixpath
import tarfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import attrs

from mlcube_remote.budgets import parse_json

_MANIFEST = "manifest.json"
_MAX_ENTRIES = 20_000
_MAX_READ = 1024 * 1024
"""Bytes that are read at once: headers of entries are read as a whole."""
_MAX_RATIO = 50
"""How much larger the content of an archive may be than the compressed archive."""
_MIN_LIMIT = 1024**3


class UnreadableArchiveError(Exception):
    """The archive is not one that an engine writes."""


@attrs.define
class _Limited:
    """A compressed file that is read up to a limit, in pieces of limited size."""

    file: gzip.GzipFile
    limit: int

    def read(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes."""
        if not 0 <= size <= _MAX_READ:
            raise UnreadableArchiveError(f"an entry has a header of {size} bytes")
        self._check()
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position."""
        if offset > self.limit:
            raise UnreadableArchiveError(f"its content is larger than {self.limit} bytes")
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self.file.tell()

    def _check(self) -> None:
        if self.file.tell() > self.limit:
            raise UnreadableArchiveError(f"its content is larger than {self.limit} bytes")


def omit_layers(archive: Path, target: Path, count: int) -> None:
    """Write an archive without the first ``count`` layers of its only image.

    Args:
        archive: A compressed archive.
        target: The new archive, which must not exist.
        count: Number of layers.

    Raises:
        UnreadableArchiveError: The archive is not one that an engine writes.
        OSError: A file cannot be read or written.
    """
    omitted = _layer_files(archive, count)
    with (
        _reading(archive) as source,
        target.open("xb") as file,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as compressed,
        tarfile.open(mode="w", fileobj=compressed, format=tarfile.GNU_FORMAT) as written,
    ):
        for member in _members(source):
            if member.name not in omitted:
                written.addfile(member, source.extractfile(member) if member.isreg() else None)


def _layer_files(archive: Path, count: int) -> Collection[str]:
    """Return the names of the files that only the first layers need."""
    links: dict[str, str] = {}
    manifest = None
    with _reading(archive) as source:
        for member in _members(source):
            if member.issym():
                links[member.name] = _target(member)
            elif member.name == _MANIFEST and member.isreg() and member.size <= _MAX_READ:
                content = source.extractfile(member)
                manifest = None if content is None else content.read()
    try:
        (image,) = parse_json(manifest or b"")
        layers = [str(name) for name in image["Layers"]]
    except (ValueError, KeyError, TypeError) as problem:
        raise UnreadableArchiveError("it does not list the layers of one image") from problem
    needed = set(layers[count:])
    # Two equal layers are one file in the archive: the second is a link, or has the same name.
    needed |= {links[name] for name in needed & links.keys()}
    return set(layers[:count]) - needed


def _target(link: tarfile.TarInfo) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(link.name), link.linkname))


@contextmanager
def _reading(archive: Path) -> Iterator[tarfile.TarFile]:
    limit = max(_MIN_LIMIT, _MAX_RATIO * archive.stat().st_size)
    try:
        with gzip.open(archive, "rb") as file:
            limited: IO[bytes] = _Limited(file, limit)  # type: ignore[assignment]
            with tarfile.open(mode="r:", fileobj=limited) as source:
                yield source
    except (tarfile.TarError, gzip.BadGzipFile, EOFError) as problem:
        raise UnreadableArchiveError(str(problem)) from problem


def _members(source: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for number, member in enumerate(source):
        if number >= _MAX_ENTRIES:
            raise UnreadableArchiveError(f"it has more than {_MAX_ENTRIES} entries")
        yield member
