# SPDX-License-Identifier: Apache-2.0
"""A string that must not be seen: it reaches a container's environment and nothing else."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """Holds a value that shows itself only to :meth:`reveal`.

    ``str``, ``repr``, ``format``, ``attrs.asdict`` and JSON see ``***``; pickling is refused, so
    that no log, traceback, record or cache can carry the value by accident.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for the one place that hands it to a process's environment."""
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
