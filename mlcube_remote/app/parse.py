# SPDX-License-Identifier: Apache-2.0
"""Read the texts that users type and that records keep, such as ``NAME=VALUE``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlcube_remote.errors import UsageError


def split_names(values: Iterable[str], option: str = "--task") -> tuple[str, ...]:
    """Split the ``a,b`` of a repeatable option into names.

    Raises:
        UsageError: A name occurs twice.
    """
    names = tuple(name.strip() for value in values for name in value.split(",") if name.strip())
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{option}: {', '.join(twice)} is named twice", hint="name it once")
    return names


def parse_parameters(arguments: Iterable[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` arguments; the last value of a name counts.

    Raises:
        UsageError: An argument has no name, or no ``=``.
    """
    parameters: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name:
            raise UsageError(
                f"unexpected argument {argument!r}: expected NAME=VALUE",
                hint="cube, tasks and hosts are options: --mlcube=PATH --task=A,B --host=A,B; "
                "a parameter of the task is NAME=VALUE",
            )
        parameters[name] = value
    return parameters


def parse_axes(options: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Read the axes of a sweep: ``NAME=VALUE,VALUE``. Quotes and brackets keep commas together.

    Raises:
        UsageError: An option has no name or no ``=``, or a name occurs twice.
    """
    axes: dict[str, tuple[str, ...]] = {}
    for option in options:
        text, equals, values = option.partition("=")
        name = text.strip()
        if not equals or not name:
            raise UsageError(
                f"--sweep {option}: expected NAME=VALUE,VALUE",
                hint="for example: --sweep lr=0.1,0.01",
            )
        if name in axes:
            raise UsageError(
                f"--sweep {name}: is given twice", hint=f"put all values into one: {name}=A,B,C"
            )
        axes[name] = _split_values(values)
    return axes


def _split_values(text: str) -> tuple[str, ...]:
    """Split values at commas; a value in quotes, or in brackets, is one value."""
    values: list[str] = []
    rest: str | None = text
    while rest is not None:
        enclosed = _ENCLOSED.match(rest) or _end_of_list(rest)
        end = enclosed if isinstance(enclosed, int) else enclosed.end() if enclosed else 0
        comma = rest.find(",", end)
        values.append((rest if comma < 0 else rest[:comma]).strip())
        rest = None if comma < 0 else rest[comma + 1 :]
    return tuple(values)


_END = r"(?=\s*(?:,|$))"
_ENCLOSED = re.compile(rf"""\s*(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'){_END}""")
"""A text in quotes, as YAML reads it."""
_PIECE = re.compile(
    r"""(?P<open>[\[{])|(?P<close>[\]}])|"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|.""", re.DOTALL
)


def _end_of_list(text: str) -> int:
    """Return where a list or mapping that a text begins with ends; 0: it begins with none."""
    depth = 0
    for piece in _PIECE.finditer(text):
        depth += (piece["open"] is not None) - (piece["close"] is not None)
        if depth <= 0 and not piece[0].isspace():
            is_whole = piece["close"] is not None and re.match(_END, text[piece.end() :])
            return piece.end() if is_whole else 0
    return 0
