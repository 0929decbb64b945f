# SPDX-License-Identifier: Apache-2.0
"""Shorten lists of host names to ranges that ``--host`` accepts: ``gpu[001-098,100]``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MANY = 12
"""Up to this many jobs are listed one by one; more are summarised."""

_NUMBERED = re.compile(r"(.*?)(\d{1,9})(\D*)", re.ASCII | re.DOTALL)
_Pattern = tuple[str, str, int]
"""Prefix, suffix, and the number of digits if the number has leading zeros, else 1."""


def format_ranges(names: Iterable[str]) -> str:
    """Return names with their numbers as ranges, in the order in which their prefixes appear."""
    matches = [
        (name, None if "[" in name or "," in name else _NUMBERED.fullmatch(name)) for name in names
    ]
    # 10 can follow 9 or 09: it belongs to the padded range if a name with a leading zero exists.
    padded = {
        (match[1], match[3], len(match[2]))
        for _, match in matches
        if match is not None and match[2].startswith("0")
    }
    groups: dict[_Pattern | str, list[int]] = {}
    for name, match in matches:
        if match is None:
            groups.setdefault(name, [])
            continue
        pattern = (match[1], match[3], len(match[2]))
        if pattern not in padded:
            pattern = (match[1], match[3], 1)
        groups.setdefault(pattern, []).append(int(match[2]))
    return ",".join(_format_group(pattern, numbers) for pattern, numbers in groups.items())


def _format_group(pattern: _Pattern | str, numbers: Sequence[int]) -> str:
    if isinstance(pattern, str):
        return pattern
    prefix, suffix, width = pattern
    ranges = _find_ranges(sorted(set(numbers)))
    texts = [
        f"{first:0{width}d}" if first == last else f"{first:0{width}d}-{last:0{width}d}"
        for first, last in ranges
    ]
    is_single = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
    return f"{prefix}{texts[0]}{suffix}" if is_single else f"{prefix}[{','.join(texts)}]{suffix}"


def _find_ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges
