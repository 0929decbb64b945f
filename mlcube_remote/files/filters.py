# SPDX-License-Identifier: Apache-2.0
"""Turn ``.mlcubeignore`` and the default exclusions into rsync filter rules.

``.mlcubeignore`` has gitignore's grammar (https://git-scm.com/docs/gitignore): one pattern a line,
``#`` comments, a slash at the end for directories, a slash elsewhere anchors at the cube's root,
``!`` includes again. In gitignore the last match decides, in rsync the first rule, so the order of
the lines is reversed.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from mlcube_remote.budgets import Budget, OverBudgetError
from mlcube_remote.errors import CubeError

FILE_NAME = ".mlcubeignore"

MAX_IGNORE_BYTES = 64 * 1024
"""Size of a file with patterns; each is an argument of rsync."""

MAX_RULE_CHARS = 512 * 1024
"""Length of all rules of such a file; each ``/**/`` in a pattern doubles those of the pattern."""

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
    return read_ignore_file(root / FILE_NAME)


def read_ignore_file(path: Path) -> tuple[str, ...]:
    """Return the lines of a file with patterns; empty if the file does not exist.

    Raises:
        CubeError: The file cannot be read as UTF-8 text, or is too large, or a pattern means too
            many rules.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            # A device that never ends, for example.
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CubeError(f"{path}: expected a file")
            raw = file.read(MAX_IGNORE_BYTES + 1)
        if len(raw) > MAX_IGNORE_BYTES:
            raise CubeError(
                f"{path}: expected a file of at most {MAX_IGNORE_BYTES // 1024} KiB",
                hint="write patterns instead of names, such as *.bin, or name whole directories",
            )
        # Like git, ignore a byte order mark.
        lines = tuple(raw.decode("utf-8-sig").splitlines())
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as problem:
        raise CubeError(f"{path}: cannot be read: {problem}") from problem
    budget = Budget(MAX_RULE_CHARS, "characters of rules; each '/**/' of a pattern doubles them")
    for number, line in enumerate(lines, start=1):
        try:
            budget.spend((len(line) + len("- ")) << min(line.count("/**/"), 32))
        except OverBudgetError as problem:
            raise CubeError(f"{path}:{number}: {problem}") from problem
    return lines


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; do not wait for a writer if it is a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def is_never_sent(name: str) -> bool:
    """Return whether a file or directory with this name is on the list :data:`NEVER_SENT`."""
    return _NEVER_SENT.match(name) is not None


def filter_rules(patterns: Iterable[str]) -> list[str]:
    """Return rsync filter rules for gitignore-like ``patterns``, in the order rsync needs them."""
    rules = [rule for line in patterns for rule in _rules(line)]
    return rules[::-1] + [f"- {pattern}" for pattern in NEVER_SENT]


def _rules(line: str) -> list[str]:
    pattern = _strip_end(line)
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


def _strip_end(line: str) -> str:
    """Remove blanks at the end, except one after a backslash."""
    stripped = line.rstrip(" \t")
    return line[: len(stripped) + 1] if stripped.endswith("\\") else stripped


def _unescape(pattern: str) -> str:
    """Remove the backslashes of a pattern without wildcards; rsync takes them literally there."""
    return pattern if _WILDCARD.search(pattern) else re.sub(r"\\(.)", r"\1", pattern)


def exclude_path(relative: str, *, directory: bool) -> str:
    """Return the rule that excludes only the path ``relative`` to the root of a transfer."""
    return f"- /{escape(relative)}{'/' if directory else ''}"


def excluded_path(rule: str) -> str | None:
    """Return the path that a rule excludes; ``None`` if it is no rule of :func:`exclude_path`.

    A slash at the end means that only a directory is excluded.
    """
    path = rule.removeprefix("- /")
    return None if path == rule or _WILDCARD.search(path) else path


def escape(path: str) -> str:
    """Return ``path`` as an rsync pattern that matches only itself.

    rsync treats a backslash as an escape only in a pattern with a wildcard.
    """
    if not _WILDCARD.search(path):
        return path
    return re.sub(r"([*?\[\\])", r"\\\1", path)
