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
    found = [
        (name, None if "[" in name or "," in name else _NUMBERED.fullmatch(name)) for name in names
    ]
    # 10 may come after 9 or after 09; where one of these stands with a zero, so does the range.
    padded = {
        (match[1], match[3], len(match[2]))
        for _, match in found
        if match is not None and match[2].startswith("0")
    }
    groups: dict[_Group | str, list[int]] = {}
    for name, match in found:
        if match is None:
            groups.setdefault(name, [])
            continue
        key = (match[1], match[3], len(match[2]))
        groups.setdefault(key if key in padded else (*key[:2], 1), []).append(int(match[2]))
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
