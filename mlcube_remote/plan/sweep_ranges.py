# SPDX-License-Identifier: Apache-2.0
"""The values of ``--sweep``: lists and ranges; what is neither is refused with the right form.

::

    lr=0.1,0.01               these values
    lr=lin:0.1..0.5:5         five values with equal distances, both ends included
    lr=log:1e-4..1e-1:4       four values with equal ratios
    layers=int:2..5           every integer
    lr=log:1e-4..1e-1         with --sample: any value; each power of ten is equally likely
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import attrs

from mlcube_remote.errors import UsageError

MAX_VALUES = 10_000
"""Maximum number of values of one range."""

_RANGE = re.compile(r"(?P<kind>lin|log|int):(?P<low>[^:]+?)\.\.(?P<high>[^:]+?)(?::(?P<count>.*))?")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LOOKS_LIKE_A_RANGE = re.compile(
    # 16:9 may be a value; three numbers with colons are the range of another language.
    rf"(?P<low>{_NUMBER})\.\.+(?P<high>{_NUMBER})|(?P<low3>{_NUMBER}):(?P<high3>{_NUMBER}):{_NUMBER}"
)
_SEPARATED = re.compile(rf"{_NUMBER}(?:\s*[;|\s]\s*{_NUMBER})+")
_TWO_ENDS = re.compile(rf"(?P<low>{_NUMBER})(?:-|:|\s*to\s*)(?P<high>{_NUMBER})")


@attrs.frozen(kw_only=True)
class Range:
    """A range of numbers."""

    kind: str
    """``lin``, ``log`` or ``int``."""
    low: float
    high: float
    count: int | None = None
    """Number of values; ``None``: any value between the ends."""

    def values(self) -> tuple[str, ...]:
        """Return its values in order; it has a count, or is one of integers."""
        if self.kind == "int" and self.count is None:
            return tuple(str(n) for n in range(int(self.low), int(self.high) + 1))
        steps = (self.count or 1) - 1
        found = (self.at(step / steps if steps else 0.0) for step in range(steps + 1))
        return tuple(dict.fromkeys(found))

    def at(self, fraction: float) -> str:
        """Return the value at a fraction of the range, from 0 to 1, as text."""
        if self.kind == "log":
            ends = math.log(self.low), math.log(self.high)
            return _format(math.exp(ends[0] + fraction * (ends[1] - ends[0])))
        between = self.low + fraction * (self.high - self.low)
        return str(round(between)) if self.kind == "int" else _format(between)

    def sample(self, fraction: float) -> str:
        """Return a value for a random number from 0 to 1, 1 excluded."""
        if self.kind == "int":
            # Each integer is equally likely, also those at the ends.
            return str(int(self.low) + int(fraction * (self.high - self.low + 1)))
        return self.at(fraction)


Item = str | Range
"""A value, or a range of values."""


def parse_axis(name: str, texts: Sequence[str]) -> tuple[Item, ...]:
    """Return the values and ranges that a user wrote for one name.

    Raises:
        UsageError: A text is neither; the message shows the right form.
    """
    _refuse_brackets(name, texts)
    return tuple(_parse(name, text) for text in texts)


def expand_axis(name: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Return all values that a user wrote for one name, with its ranges as values.

    Raises:
        UsageError: As for :func:`parse_axis`; or a range has no number of values.
    """
    values: list[str] = []
    for text, item in zip(texts, parse_axis(name, texts), strict=True):
        if isinstance(item, str):
            values.append(item)
            continue
        if item.count is None and item.kind != "int":
            raise UsageError(
                f"--sweep {name}={text}: the number of values is missing",
                hint=f"--sweep {name}={text}:5, or random values: --sample=20",
            )
        values += item.values()
    return tuple(values)


def is_range(text: str) -> bool:
    """Return whether a text has the form of a range."""
    return _RANGE.fullmatch(text) is not None


def form_of_numbers(name: str, text: str) -> str | None:
    """Return how to write what is meant by a text with several numbers; ``None``: it has none."""
    if _SEPARATED.fullmatch(text):
        values = ",".join(re.findall(_NUMBER, text))
        return f"put commas between values: --sweep {name}={values}"
    ends = _TWO_ENDS.fullmatch(text)
    if ends and float(ends["low"]) < float(ends["high"]):
        return f"a range is --sweep {name}=lin:{ends['low']}..{ends['high']}:5, with 5 values"
    return None


def _parse(name: str, text: str) -> Item:
    if match := _RANGE.fullmatch(text):
        return _parse_range(name, text, match)
    if text.startswith(("lin:", "log:", "int:")):
        raise _wrong_range(name, text, "expected KIND:LOW..HIGH:COUNT")
    words = text.split()
    if len(words) > 1 and all(map(_is_number, words)):
        raise UsageError(
            f"--sweep {name}={text}: blanks between numbers",
            hint=f"put commas between values: --sweep {name}={','.join(words)}",
        )
    if match := _LOOKS_LIKE_A_RANGE.fullmatch(text):
        ends = f"{match['low'] or match['low3']}..{match['high'] or match['high3']}"
        raise UsageError(
            f"--sweep {name}={text}: not a number",
            hint=f"a range is --sweep {name}=lin:{ends}:5, with 5 values; log: for equal ratios",
        )
    return text


def _parse_range(name: str, text: str, match: re.Match[str]) -> Range:
    kind, low, high = match["kind"], _number(match["low"]), _number(match["high"])
    if low is None or high is None:
        raise _wrong_range(name, text, "its ends must be numbers")
    if kind == "log" and low <= 0:
        raise _wrong_range(name, text, "the ends of log: must be above 0")
    if low >= high:
        raise _wrong_range(name, text, "the first end must be lower than the second")
    if kind == "int" and not (low.is_integer() and high.is_integer()):
        raise _wrong_range(name, text, "the ends of int: must be integers")
    count = match["count"]
    if count is not None and not (count.isascii() and count.isdecimal() and int(count) >= 2):
        raise _wrong_range(name, text, "the number of values must be 2 or more")
    size = int(count) if count is not None else high - low + 1 if kind == "int" else 0
    if size > MAX_VALUES:
        raise _wrong_range(name, text, f"expected at most {MAX_VALUES:,} values")
    return Range(kind=kind, low=low, high=high, count=None if count is None else int(count))


def _wrong_range(name: str, text: str, problem: str) -> UsageError:
    return UsageError(
        f"--sweep {name}={text}: {problem}",
        hint=f"for example: --sweep {name}=log:1e-4..1e-1:5, lin:0..1:5 or int:1..8",
    )


def _refuse_brackets(name: str, texts: Sequence[str]) -> None:
    """Refuse ``[0.1,0.2]``: the brackets would be part of the values."""
    whole = ",".join(texts)
    if len(texts) > 1 and (whole[:1], whole[-1:]) in {("[", "]"), ("(", ")"), ("{", "}")}:
        inner = whole[1:-1]
        if not set("[](){}") & set(inner):
            raise UsageError(
                f"--sweep {name}={whole}: brackets around the values",
                hint=f"write them without: --sweep {name}={inner.replace(' ', '')}",
            )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_number(text: str) -> bool:
    return _number(text) is not None


def _format(number: float) -> str:
    """Return a number with six digits, which YAML reads as a number, too."""
    text = f"{number:.6g}"
    if "e" in text and "." not in text:
        digits, _, exponent = text.partition("e")
        return f"{digits}.0e{exponent}"  # YAML takes 1e-05 for a text
    return text
