# SPDX-License-Identifier: Apache-2.0
"""Secret texts, which only the environment of a container may contain."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """A text that only :meth:`reveal` returns.

    ``str``, ``repr``, ``format`` and ``attrs.asdict`` return ``***``; JSON and pickle fail. So no
    log, traceback, record or cache can contain the value by accident.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text, to set it in the environment of a process."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return format(str(self), format_spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")
