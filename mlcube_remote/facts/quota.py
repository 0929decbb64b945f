# SPDX-License-Identifier: Apache-2.0
"""The user's quota of disk space and files, where a file system tells it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from mlcube_remote.facts.check_result import CheckResult
from mlcube_remote.formatting import readable_size

_NUMBER = re.compile(r"(\d{1,18})\*?", re.ASCII)
_LONG_NAME = re.compile(r"^[ \t]*(\S+)[ \t]*\n[ \t]+(?=\d)", re.MULTILINE)
"""A name that is alone on its line; the numbers are on the next one."""
_COLUMNS = 9
"""Of quota(1) and of "lfs quota": the file system, then use, quota, limit and grace, twice."""
_NEARLY = 0.95
"""Share of a quota from which on a run may not fit."""


@attrs.frozen
class _Quota:
    place: str
    used: int
    most: int
    unit: str

    @property
    def share(self) -> float:
        return self.used / self.most

    def __str__(self) -> str:
        if self.unit == "files":
            return f"{self.used:,} of {self.most:,} files at {self.place}"
        return f"{readable_size(self.used)} of {readable_size(self.most)} at {self.place}"


def check_quota(text: str, root: str) -> Iterator[CheckResult]:
    """Yield a row with the user's quota, if there is one.

    Args:
        text: What quota(1) or ``lfs quota`` has printed.
        root: The directory for jobs, for the hint.
    """
    joined = _LONG_NAME.sub(r"\1 ", text)
    found = [quota for line in joined.splitlines() for quota in _read(line.split())]
    if not found:
        return
    fullest = max(found, key=lambda quota: quota.share)
    passed = fullest.share < _NEARLY
    yield CheckResult(
        name="quota",
        passed=passed,
        detail=f"{fullest} used",
        hint=None if passed else f"remove files; or set remote_root to another disk than {root}",
    )


def _read(words: list[str]) -> Iterator[_Quota]:
    if len(words) != _COLUMNS:
        return
    place, *columns = words
    for unit, scale, (used, soft, hard) in (
        ("bytes", 1024, columns[0:3]),
        ("files", 1, columns[4:7]),
    ):
        numbers = [_NUMBER.fullmatch(word) for word in (used, soft, hard)]
        if None in numbers:
            continue
        use, *limits = (int(match[1]) * scale for match in numbers if match)
        if most := min((limit for limit in limits if limit), default=0):
            yield _Quota(place, use, most, unit)
