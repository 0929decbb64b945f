# SPDX-License-Identifier: Apache-2.0
"""The option ``--output``: text or one JSON document.

It is apart from the other options, because some commands have only this one: the others import the
classes of their values, which takes longer than everything else that ``results --help`` does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _option(*formats: str) -> Callable[[F], F]:
    return click.option(
        "--output",
        "-o",
        type=click.Choice(["text", *formats]),
        default="text",
        show_default=True,
        help="Print text, one JSON document, or CSV."
        if "csv" in formats
        else "Print text, or one JSON document.",
    )


output_option = _option("json")


def output_option_with_aliases(*formats: str) -> Callable[[F], F]:
    """Return ``--output``, and an older option ``--FORMAT`` for each format but text."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(output: str, **values: Any) -> Any:
            chosen = [name for name in formats if values.pop(f"as_{name}")]
            return function(output=chosen[-1] if chosen else output, **values)

        decorated: Any = call
        for name in reversed(formats):
            about = f"The same as --output={name}."
            decorated = click.option(f"--{name}", f"as_{name}", is_flag=True, help=about)(decorated)
        result: F = _option(*formats)(decorated)
        return result

    return decorate
