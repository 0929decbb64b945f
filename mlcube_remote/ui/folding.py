# SPDX-License-Identifier: Apache-2.0
"""Many names in few characters: ``gpu[001-098,100]``, as ``--host`` takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MANY = 12
"""With more jobs than this, they are summed up instead of listed."""

_NUMBERED = re.compile(r"(.*?)(\d{1,9})(\D*)", re.ASCII | re.DOTALL)
_Group = tuple[str, str, int]
"""What stands before and after the number, and its digits where zeros lead it."""


def folded(names: Iterable[str]) -> str:
    """Return names with their numbers as ranges, in the order in which each kind first comes."""
    groups: dict[_Group | str, list[int]] = {}
    for name in names:
        match = None if "[" in name or "," in name else _NUMBERED.fullmatch(name)
        if match is None:
            groups.setdefault(name, [])
            continue
        before, number, after = match.groups()
        # Only what is written with as many digits can share a range whose zeros are kept.
        width = len(number) if number.startswith("0") or len(number) > 1 else 0
        key = (before, after, width or 1)
        groups.setdefault(key, []).append(int(number))
    return ",".join(_shown(key, numbers) for key, numbers in groups.items())


def _shown(key: _Group | str, numbers: Sequence[int]) -> str:
    if isinstance(key, str):
        return key
    before, after, width = key
    ranges = _ranges(sorted(set(numbers)))
    texts = [
        f"{first:0{width}d}" if first == last else f"{first:0{width}d}-{last:0{width}d}"
        for first, last in ranges
    ]
    alone = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
    return f"{before}{texts[0]}{after}" if alone else f"{before}[{','.join(texts)}]{after}"


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
