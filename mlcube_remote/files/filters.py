# SPDX-License-Identifier: Apache-2.0
"""What of a cube goes up: ``.mlcubeignore`` and the defaults, as rsync filter rules.

``.mlcubeignore`` has gitignore's grammar (https://git-scm.com/docs/gitignore): one pattern a line,
``#`` comments, a slash at the end for directories, a slash elsewhere anchors at the cube's root,
``!`` takes back. The last pattern that matches decides there, the first rule in rsync: so the lines
are turned round.
"""

from __future__ import annotations

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
"""Left here unless ``.mlcubeignore`` takes it back with ``!``: histories, keys and leftovers."""

_WILDCARD = re.compile(r"[*?\[]")


def read_patterns(root: Path) -> tuple[str, ...]:
    """Return the lines of the cube's ``.mlcubeignore``, or nothing where there is none.

    Raises:
        CubeError: The file cannot be read as UTF-8 text.
    """
    path = root / FILE_NAME
    try:
        # As git does, whatever editor put a byte order mark in front.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as problem:
        raise CubeError(f"{path}: cannot be read: {problem}") from problem
    return tuple(text.splitlines())


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
    # "a/**/b" is "a/b" too, to git; to rsync the stars stand for one folder at least.
    pieces = pattern.split("/**/")
    spelt = [pieces[0]]
    for piece in pieces[1:]:
        spelt = [f"{head}{between}{piece}" for between in ("/**/", "/") for head in spelt]
    return [f"{action} {_unescaped(each)}" for each in spelt]


def _unescaped(pattern: str) -> str:
    """Return a pattern that matches itself alone as rsync wants it: without any backslash."""
    return pattern if _WILDCARD.search(pattern) else re.sub(r"\\(.)", r"\1", pattern)


def exclude_path(relative: str, *, directory: bool) -> str:
    """Return the rule that leaves out exactly the path ``relative`` to the root of a transfer."""
    return f"- /{escape(relative)}{'/' if directory else ''}"


def escape(path: str) -> str:
    """Return ``path`` as an rsync pattern that matches itself alone.

    rsync takes a backslash for an escape only in a pattern that has a wildcard.
    """
    if not _WILDCARD.search(path):
        return path
    return re.sub(r"([*?\[\\])", r"\\\1", path)
