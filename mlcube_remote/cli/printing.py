# SPDX-License-Identifier: Apache-2.0
"""Print a value as text or JSON, and print warnings."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO, TypeVar

import click

from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.ui.text import has_colour

T = TypeVar("T")

_USUAL_WIDTH = 80
"""Columns of a terminal that does not say how wide it is."""


def print_value(
    value: T, output: str, *, document: Callable[[T], dict[str, Any]], text: Callable[[T], str]
) -> None:
    """Print a value in the format that ``--output`` names.

    Args:
        value: The value.
        output: ``text`` or ``json``.
        document: Makes the JSON document.
        text: Makes the text.
    """
    if output == "json":
        from mlcube_remote.ui.files.json_output import dump  # noqa: PLC0415 - slow, only for JSON

        dump(document(value), sys.stdout)
    else:
        click.echo(text(value))


def terminal_width(stream: TextIO) -> int | None:
    """Return the number of columns of a terminal; ``None`` if the stream is none."""
    if not stream.isatty():
        return None
    with contextlib.suppress(ValueError):
        if (columns := int(os.environ.get("COLUMNS", ""))) > 0:
            return columns
    # Of this stream: the other one may be a pipe, which has no size.
    with contextlib.suppress(OSError, ValueError):
        if (columns := os.get_terminal_size(stream.fileno()).columns) > 0:
            return columns
    return _USUAL_WIDTH


def faint(text: str) -> str:
    """Return a text that a terminal shows grey, unless the user wants no colour."""
    return click.style(text, dim=True) if has_colour(sys.stdout) else text


def print_warning(text: str) -> None:
    """Print a warning to standard error."""
    click.echo(f"warning: {text}", err=True)


def worst_exit_code(errors: Iterable[MLCubeRemoteError | None]) -> int:
    """Return the highest exit code of errors; 0 if there is none."""
    return max((error.exit_code for error in errors if error is not None), default=0)
