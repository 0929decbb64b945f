# SPDX-License-Identifier: Apache-2.0
"""Sizes, time spans, names and values as people read them, and time spans as people type them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB")
_TIME_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)")
_LONG_DURATION = re.compile(r"\s*".join(rf"(?:(\d+)\s*{unit})?" for unit in "wdhms"))
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def readable_size(size: float) -> str:
    """Return a number of bytes with a decimal unit: ``512 B``, ``3.4 MB``."""
    power = 0
    while size >= 1000 and power < len(_SIZE_UNITS) - 1:
        size /= 1000
        power += 1
    return f"{size:.{1 if power else 0}f} {_SIZE_UNITS[power]}"


def readable_duration(seconds: int) -> str:
    """Return a time span in its two largest units: ``2d 3h``, ``14m 5s``, ``8s``."""
    parts: list[str] = []
    for size, unit in _TIME_UNITS:
        count, seconds = divmod(seconds, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0") or len(parts) == 1)


def parse_duration(text: str) -> float:
    """Return the seconds of a time span: ``90``, ``90s``, ``1.5h``, ``7d``, ``1h30m`` or ``2d 3h``.

    Raises:
        ValueError: The text is not a time span, or the time span is 0.
    """
    written = text.strip().lower()
    match, seconds = _DURATION.fullmatch(written), 0.0
    if match is not None:
        seconds = float(match[1]) * _UNIT_SECONDS[match[2]]
    elif written and (match := _LONG_DURATION.fullmatch(written)):
        counts = zip("wdhms", match.groups(), strict=True)
        seconds = sum(int(count or 0) * _UNIT_SECONDS[unit] for unit, count in counts)
    if not seconds:
        raise ValueError(f"{text!r}: expected a time span such as 90s, 15m, 8h, 1h30m or 7d")
    return seconds


def list_first(names: Sequence[object], count: int, separator: str = ", ") -> str:
    """Return the first names, with commas; ``…`` at the end if there are more."""
    shown = [*map(str, names[:count]), *(["…"] if len(names) > count else [])]
    return separator.join(shown)


def escape_unprintable(text: str) -> str:
    r"""Return a text with control characters and the like as escapes: ``\x1b``."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def describe_value(value: Any) -> str:
    """Return a value of a YAML file for a message; of a mapping or list, only its type."""
    match value:
        case bool():
            return "true" if value else "false"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case None:
            return "nothing"
        case _:
            return repr(value)
