# SPDX-License-Identifier: Apache-2.0
"""Read the texts that users type and that records keep, such as ``NAME=VALUE``."""

from __future__ import annotations

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
    """Read the axes of a sweep: ``NAME=VALUE,VALUE``.

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
        axes[name] = tuple(value.strip() for value in values.split(","))
    return axes
