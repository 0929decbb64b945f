# SPDX-License-Identifier: Apache-2.0
"""Turn ``.mlcubeignore`` and the default exclusions into rsync filter rules.

``.mlcubeignore`` has gitignore's grammar (https://git-scm.com/docs/gitignore): one pattern a line,
``#`` comments, a slash at the end for directories, a slash elsewhere anchors at the cube's root,
``!`` includes again. In gitignore the last match decides, in rsync the first rule, so the order of
the lines is reversed.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from pathlib import Path

from mlcube_remote.errors import CubeError

FILE_NAME = ".mlcubeignore"

NEVER_SENT = (
    ".git/",
    ".ssh/",
    ".env",
    "*.pem",
    "id_rsa",
    "id_ed25519",
    ".netrc",
    "__pycache__/",
    ".mlcube-remote*",
)
"""Never sent, unless ``.mlcubeignore`` includes it with ``!``: histories, keys, temporary files."""

_NEVER_SENT = re.compile("|".join(fnmatch.translate(each.rstrip("/")) for each in NEVER_SENT))
_WILDCARD = re.compile(r"[*?\[]")


def read_patterns(root: Path) -> tuple[str, ...]:
    """Return the lines of the cube's ``.mlcubeignore``; empty if the file does not exist.

    Raises:
        CubeError: The file cannot be read as UTF-8 text.
    """
    path = root / FILE_NAME
    try:
        # Like git, ignore a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as problem:
        raise CubeError(f"{path}: cannot be read: {problem}") from problem
    return tuple(text.splitlines())


def is_never_sent(name: str) -> bool:
    """Return whether a file or directory with this name is on the list :data:`NEVER_SENT`."""
    return _NEVER_SENT.match(name) is not None


def filter_rules(patterns: Iterable[str]) -> list[str]:
    """Return rsync filter rules for gitignore-like ``patterns``, in the order rsync needs them."""
    rules = [rule for line in patterns for rule in _rules(line)]
    return rules[::-1] + [f"- {pattern}" for pattern in NEVER_SENT]


def _rules(line: str) -> list[str]:
    pattern = re.sub(r"(?<!\\)[ \t]+$", "", line)
    if not pattern or pattern.startswith("#"):
        return []
    action = "-"
    if pattern.startswith("!"):
        action, pattern = "+", pattern[1:]
    if pattern.startswith((r"\#", r"\!")):
        pattern = pattern[1:]
    if "/" in pattern.rstrip("/") and not pattern.startswith(("/", "**/")):
        pattern = "/" + pattern
    # In git "a/**/b" matches "a/b" too; in rsync the stars match at least one directory.
    pieces = pattern.split("/**/")
    variants = [pieces[0]]
    for piece in pieces[1:]:
        variants = [f"{head}{between}{piece}" for between in ("/**/", "/") for head in variants]
    return [f"{action} {_unescape(each)}" for each in variants]


def _unescape(pattern: str) -> str:
    """Remove the backslashes of a pattern without wildcards; rsync takes them literally there."""
    return pattern if _WILDCARD.search(pattern) else re.sub(r"\\(.)", r"\1", pattern)


def exclude_path(relative: str, *, directory: bool) -> str:
    """Return the rule that excludes only the path ``relative`` to the root of a transfer."""
    return f"- /{escape(relative)}{'/' if directory else ''}"


def escape(path: str) -> str:
    """Return ``path`` as an rsync pattern that matches only itself.

    rsync treats a backslash as an escape only in a pattern with a wildcard.
    """
    if not _WILDCARD.search(path):
        return path
    return re.sub(r"([*?\[\\])", r"\\\1", path)
