# SPDX-License-Identifier: Apache-2.0
"""Turn a value of a sweep, which is a text, into the value that a settings file gets.

The value that the file has says what is expected: a number, a text, true or false, a list. What
cannot be meant is refused here; otherwise each job would fail, or silently do something else: for
most programs the text ``ture`` is true.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import yaml

_QUOTES = ("'", '"')


@attrs.frozen
class WrongValueError(Exception):
    """A value cannot be meant for its key."""

    problem: str
    advice: str = ""
    """What to write instead; KEY is the name. Empty: values as in the file."""
    expected: str = "numbers"

    def __str__(self) -> str:
        return self.problem

    def hint(self, key: str, file: str) -> str:
        """Return what to write instead.

        Args:
            key: The name, as the user wrote it.
            file: The settings file.
        """
        advice = self.advice.replace("KEY", key)
        expected = f"expected {self.expected}, as in {file}" if self.expected else ""
        return "; ".join(filter(None, (expected, advice)))


def replace_value(content: Mapping[str, Any], keys: Sequence[str], value: str) -> Mapping[str, Any]:
    """Return the content of a settings file with another value at a path of keys.

    Raises:
        WrongValueError: The value cannot be meant for this key.
    """
    first, *rest = keys
    old = content[first]
    return {**content, first: replace_value(old, rest, value) if rest else _convert(value, old)}


def as_text(value: str) -> str:
    """Return a value that is a text; quotes around it are not part of it.

    Raises:
        WrongValueError: It is a list: brackets around what should be several values.
    """
    if value[:1] in _QUOTES and value[-1:] == value[:1]:
        read = _read(value)
        return read if isinstance(read, str) else value
    _refuse_brackets(value)
    return value


def _convert(text: str, old: Any) -> Any:
    """Convert a value to the type that it has in the file. For YAML, 1e-3 is text."""
    if isinstance(old, str):
        return as_text(text)
    value: Any = _number(text) if not isinstance(old, bool) else None
    if value is None:
        value = _read(text)
    if isinstance(old, (bool, int, float, list, dict)):
        _refuse_other_type(text, value, old)
    return value


def _read(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _number(text: str) -> int | float | None:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return None


_EXPECTED = {bool: "true or false", list: "lists", dict: "mappings"}
_SHOWN = {bool: "true or false", list: "a list", dict: "a mapping"}


def _refuse_other_type(text: str, value: Any, old: Any) -> None:
    """Refuse what cannot be meant; null may mean a default, and text in quotes is meant as one."""
    kind = _kind(text, value)
    expected = _EXPECTED.get(type(old), "numbers")
    if kind in _accepted(old) or value is None:
        return
    if kind in ("a list", "a mapping"):
        _refuse_brackets(text)
    has = _SHOWN.get(type(old), f"the number {old}")
    advice = f"if a text is right, write it in quotes: KEY='\"{text}\"'" if kind == "a text" else ""
    raise WrongValueError(f"{kind}, and the file has {has}", advice, expected)


def _accepted(old: Any) -> tuple[str, ...]:
    if isinstance(old, bool):
        return ("true or false", "a number", "a quoted text")
    if isinstance(old, (list, dict)):
        # A program may take a number for a list of one.
        return (_SHOWN[type(old)], "a number", "a quoted text")
    return ("a number", "a quoted text")


def _kind(text: str, value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        is_time = ":" in text  # YAML 1.1 reads 12:30 as 750
        return "a text" if is_time else "not a number" if math.isnan(value) else "a number"
    if isinstance(value, (bool, list, dict)):
        return _SHOWN[type(value)]
    return "a quoted text" if text[:1] in _QUOTES and value != text else "a text"


def _refuse_brackets(value: str) -> None:
    """Refuse ``[0.1,0.2]``: the brackets would be part of the value."""
    inner = value[1:-1]
    is_list = (value[:1], value[-1:]) in {("[", "]"), ("{", "}")} and "," in inner
    if is_list and not set("[](){}") & set(inner):
        plain = inner.replace(" ", "")
        raise WrongValueError(
            "brackets around the values",
            f"write them without: --sweep KEY={plain}; if a text is right, write it in quotes: "
            f"KEY='\"{value}\"'",
            "",
        )
