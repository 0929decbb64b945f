# SPDX-License-Identifier: Apache-2.0
"""Expand ranges in host names: ``gpu[01-16]``, ``n[1,3,5-7]``, ``rack[1-2]node[01-04]``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

MAX_NAMES = 4096
"""Number of names in one range; a larger range is probably a typo."""

MAX_NAME_CHARS = 1024
"""Length of a name in a range."""

_SHOWN_CHARS = 80
_COMMA_OR_BRACKET = re.compile(r"[,\[\]]")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_PART = re.compile(r"(\d{1,18})(?:-(\d{1,18})(?::(\d{1,18}))?)?", re.ASCII)


def is_range(text: str) -> bool:
    """Return whether a text contains a bracket."""
    return "[" in text or "]" in text


def expand(text: str) -> tuple[str, ...]:
    """Return the names of a range, in order; leading zeros are kept.

    Raises:
        ValueError: The brackets do not match, a range is empty or there are too many names.
    """
    if _BRACKETS.sub("", text).count("[") or _BRACKETS.sub("", text).count("]"):
        raise ValueError(
            f"{_shorten(text)}: brackets do not match, expected something like gpu[01-16]"
        )
    pieces = _BRACKETS.split(text)
    choices: list[list[str]] = []
    total, length = 1, 0
    for index, piece in enumerate(pieces):
        choices.append([piece] if index % 2 == 0 else _numbers(piece, text))
        total *= len(choices[-1])
        length += len(choices[-1][-1])
        if total > MAX_NAMES:
            raise ValueError(f"{_shorten(text)}: means more than {MAX_NAMES} names")
        if length > MAX_NAME_CHARS:
            raise ValueError(f"{_shorten(text)}: a name of more than {MAX_NAME_CHARS} characters")
    return tuple("".join(parts) for parts in itertools.product(*choices))


def _numbers(piece: str, text: str) -> list[str]:
    numbers: list[str] = []
    for part in piece.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise ValueError(
                f"{_shorten(text)}: expected numbers in brackets, got {_shorten(part.strip())}"
            )
        first, last, step = match[1], match[2] or match[1], int(match[3] or 1)
        if step == 0 or int(last) < int(first):
            raise ValueError(f"{_shorten(text)}: the range {part.strip()} is empty")
        if int(last) - int(first) > MAX_NAMES * step:
            raise ValueError(f"{_shorten(text)}: means more than {MAX_NAMES} names")
        width = len(first) if first.startswith("0") or len(first) == len(last) else 0
        numbers += [f"{n:0{width}d}" for n in range(int(first), int(last) + 1, step)]
        if len(numbers) > MAX_NAMES:
            raise ValueError(f"{_shorten(text)}: means more than {MAX_NAMES} names")
    return numbers


def _shorten(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…")


def split_commas(text: str) -> list[str]:
    """Split at the commas outside brackets."""
    parts: list[str] = []
    end, is_inside = len(text), False
    for found in reversed(list(_COMMA_OR_BRACKET.finditer(text))):
        if found[0] != ",":
            is_inside = found[0] == "]"
        elif not is_inside:
            parts.append(text[found.end() : end])
            end = found.start()
    parts.append(text[:end])
    return [part.strip() for part in reversed(parts) if part.strip()]


def split_all(values: Iterable[str]) -> list[str]:
    """Split several comma-separated texts at the commas outside brackets."""
    return [part for value in values for part in split_commas(value)]
