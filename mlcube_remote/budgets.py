# SPDX-License-Identifier: Apache-2.0
"""Limits for text that a cube or a host wrote: its bytes, its values, and the work to read it.

A few lines can mean billions of values (YAML aliases and merge keys), gigabytes of text
(interpolations that repeat each other) or hours of computing (numbers with a million digits). Each
reader of such text spends from a budget before it does the work.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import attrs

MAX_BYTES = 4 * 1024 * 1024
"""Size of a file; a larger one is refused without reading all of it."""

MAX_CUBE_BYTES = 2 * 1024 * 1024
"""Size of an mlcube.yaml, and of all its texts after aliases are expanded."""

MAX_DEPTH = 50
"""Levels of nesting; no configuration needs more."""

MAX_VALUES = 100_000
"""Number of values after aliases and merge keys are expanded."""

MAX_NODES = 250_000
"""Number of keys and values before aliases are expanded; each takes half a kilobyte of memory."""

MAX_KEY_CHARS = 1024
"""Length of a key, which messages repeat."""

MAX_NUMBER_CHARS = 400
"""Length of a number or date. The time to convert one grows with the square of its length."""

MAX_TEXT_CHARS = 128 * 1024
"""Length of a text in mlcube.yaml; Linux accepts no longer argument of a command."""

MAX_INTERPOLATIONS = 500
"""Number of interpolations in one text."""

MAX_CALLS = 500_000
"""Function calls to resolve the interpolations of a file; a usual cube takes 2,000."""


MAX_WHOLE_DIGITS = 18
"""Digits of a count, a size or a time."""

_WHOLE = re.compile(rf"-?\d{{1,{MAX_WHOLE_DIGITS}}}", re.ASCII)


class OverBudgetError(Exception):
    """A text needs more than its budget; the message says more than what."""


@attrs.define
class Budget:
    """What a reader may still spend on one text."""

    limit: int
    what: str
    """What is counted, for the message."""
    _spent: int = attrs.field(default=0, init=False)

    def spend(self, count: int = 1) -> None:
        """Count something, before it is made.

        Raises:
            OverBudgetError: It is more than the limit.
        """
        self._spent += count
        if self._spent > self.limit:
            raise OverBudgetError(f"more than {self.limit:,} {self.what}")


class _StopWork(BaseException):
    """Ends the work of a library; not an ``Exception``, so that the library cannot catch it."""


@contextmanager
def limited_work(calls: int = MAX_CALLS, text_chars: int = MAX_TEXT_CHARS) -> Iterator[None]:
    """Limit what a library may do while the block runs, if the library has no limit itself.

    Python counts the function calls of this thread, so the limit does not depend on the speed of
    the machine, and the work can be interrupted.

    Args:
        calls: Number of function calls.
        text_chars: Length of the texts that these functions return.

    Raises:
        OverBudgetError: The block needs more.
    """
    left, problem = calls, ""

    def count(_frame: FrameType, event: str, result: Any) -> None:
        nonlocal left, problem
        if event == "call":
            left -= 1
            if left < 0:
                problem = f"more than {calls:,} steps of work"
        elif event == "return" and isinstance(result, str) and len(result) > text_chars:
            problem = f"a text of more than {text_chars:,} characters"
        if problem:
            raise _StopWork

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield
    except BaseException as error:
        # The library's own clean-up may have failed and replaced the error.
        if problem:
            raise OverBudgetError(problem) from error
        raise
    finally:
        sys.setprofile(before)


def parse_whole(text: str) -> int:
    """Return a whole number that a host wrote.

    Raises:
        ValueError: It is not one, or has more digits than any count, size or time.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"expected a whole number, got {text[:MAX_WHOLE_DIGITS]!r}")
    return int(text)


def parse_time(text: str | None) -> float | None:
    """Return seconds since 1970 that a host wrote, with or without a fraction.

    Returns:
        ``None`` if there is no text.

    Raises:
        ValueError: It is not such a number.
    """
    if not text:
        return None
    whole, point, fraction = text.partition(".")
    parse_whole(whole)
    if point and not (fraction.isdecimal() and fraction.isascii() and len(fraction) <= 9):
        raise ValueError(f"expected a fraction of at most 9 digits, got {fraction[:10]!r}")
    return float(text)


def parse_json(text: str | bytes, max_bytes: int = MAX_BYTES) -> Any:
    """Return the value of a JSON text that a host wrote.

    Raises:
        ValueError: It is not JSON, is too large or nested too deep, or has a number that is too
            long.
    """
    if len(text) > max_bytes:
        raise ValueError(f"larger than {max_bytes:,} bytes")
    try:
        return json.loads(text, parse_int=_parse_int)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_NUMBER_CHARS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)
