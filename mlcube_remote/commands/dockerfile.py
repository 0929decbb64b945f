# SPDX-License-Identifier: Apache-2.0
"""Which files of its context a build of a Dockerfile reads.

https://docs.docker.com/reference/dockerfile/ describes the instructions.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

EVERYTHING = (".",)
"""The sources of a build that may read any file of its context."""

_OTHER_ESCAPE = re.compile(r"#\s*escape\s*=\s*[^\s\\]", re.IGNORECASE)
_MOUNT = re.compile(r"--mount=(\S+)")
_NOT_READ_HERE = ("$", "\\", "[^")
"""Parts of sources that only the build understands: variables, escapes, patterns of Go."""
_ELSEWHERE = ("http://", "https://", "git@", "git://", "ssh://", "<<")
"""What a source starts with that is not a file of the context."""


def read_sources(text: str) -> tuple[str, ...]:
    """Return the sources in the context that a Dockerfile copies or mounts.

    Args:
        text: The Dockerfile.

    Returns:
        Paths and patterns relative to the context. :data:`EVERYTHING` if they depend on variables,
        or if the text cannot be read.
    """
    if _OTHER_ESCAPE.search(text):
        return EVERYTHING
    sources: list[str] = []
    for instruction in _instructions(text):
        word, _, rest = instruction.partition(" ")
        if word.upper() == "ONBUILD":
            continue  # the build of another image reads them
        if word.upper() == "RUN" and any(map(_reads_context, _MOUNT.findall(rest))):
            return EVERYTHING
        if word.upper() in {"COPY", "ADD"}:
            sources += _copied(rest.strip())
    if any(mark in source for source in sources for mark in _NOT_READ_HERE):
        return EVERYTHING
    local = [each for each in sources if not each.startswith(_ELSEWHERE)]
    return tuple(dict.fromkeys(posixpath.normpath(each.lstrip("/") or ".") for each in local))


def is_copied(path: str, sources: Iterable[str]) -> bool:
    """Return whether a build reads a file.

    Args:
        path: The file, relative to the context.
        sources: What :func:`read_sources` has returned.
    """
    names = path.split("/")
    for source in sources:
        if source in {".", "*"} or source.startswith(".."):
            return True
        patterns = source.split("/")
        if len(patterns) <= len(names) and all(map(fnmatchcase, names, patterns)):
            return True
    return False


def _instructions(text: str) -> Iterator[str]:
    """Yield the instructions without comments, each as one line."""
    so_far = ""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        is_continued = line.rstrip().endswith("\\")
        so_far += line.rstrip().removesuffix("\\") + " "
        if not is_continued:
            yield " ".join(so_far.split())
            so_far = ""
    if so_far.strip():
        yield " ".join(so_far.split())


def _copied(arguments: str) -> list[str]:
    """Return the sources of ``COPY`` or ``ADD``; the last argument is the destination."""
    while arguments.startswith("--"):
        option, _, arguments = arguments.partition(" ")
        if option.startswith("--from="):
            return []
    if not arguments.startswith("["):
        return arguments.split(" ")[:-1]
    try:
        return [str(word) for word in json.loads(arguments)][:-1]
    except (ValueError, RecursionError):
        return list(EVERYTHING)


def _reads_context(mount: str) -> bool:
    """Return whether ``--mount`` of ``RUN`` shows files of the context, which is the default."""
    fields = dict(field.partition("=")[::2] for field in mount.split(","))
    return fields.get("type", "bind") == "bind" and "from" not in fields
