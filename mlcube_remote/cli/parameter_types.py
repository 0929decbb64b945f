# SPDX-License-Identifier: Apache-2.0
"""Types of option values: numbers, time spans, files to write, options that occur once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from mlcube_remote.errors import UsageError
from mlcube_remote.formatting import parse_duration
from mlcube_remote.jobs.since import Since


class WholeNumber(click.IntRange):
    """A whole number in a range, which an error gives in words instead of click's notation."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, or fail with the range."""
        number = int(click.INT.convert(value, param, ctx))
        is_low = self.min is not None and number < self.min
        is_high = self.max is not None and number > self.max
        if is_low or is_high:
            self.fail(f"{number}: expected {self._range()}.", param, ctx)
        return number

    def _range(self) -> str:
        if self.min is not None and self.max is not None:
            return f"{self.min} to {self.max}"
        return f"at most {self.max}" if self.min is None else f"at least {self.min}"


class Duration(click.ParamType[float]):
    """A time span such as ``90``, ``90s``, ``15m``, ``8h`` or ``7d``, in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds, or fail with an example."""
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return parse_duration(str(value))
        except ValueError as problem:
            self.fail(str(problem), param, ctx)


class SinceTime(click.ParamType[Since]):
    """A time span before now, or a point in time of this machine's time zone."""

    name = "since"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Since:
        """Return the time, or fail with examples."""
        if isinstance(value, Since):
            return value
        text = str(value).strip()
        with contextlib.suppress(ValueError):
            return Since(ago=parse_duration(text))
        # Python 3.10 reads no Z.
        written = f"{text[:-1]}+00:00" if text[-1:] in {"Z", "z"} else text
        try:
            return Since(at=datetime.fromisoformat(written).timestamp())
        except (ValueError, OverflowError, OSError):
            self.fail(
                f"{text!r}: expected a time span such as 90s, 15m, 8h or 7d, or a time such as "
                "2026-11-28, 2026-11-28T17:30 or 2026-11-28T17:30:00Z",
                param,
                ctx,
            )


class Notification(click.ParamType[str]):
    """``desktop``, or a command whose program exists."""

    name = "notification"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, or fail with the reason why it cannot be run."""
        from mlcube_remote.ui.notification import DESKTOP, split_command  # noqa: PLC0415 - slow

        text = str(value)
        if text != DESKTOP:
            try:
                split_command(text)
            except ValueError as problem:
                self.fail(str(problem), param, ctx)
        return text


class OutputFile(click.Path):
    """A file to write. A path that cannot be written is an error before the command starts."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or fail with the reason why it cannot be written."""
        path = str(super().convert(value, param, ctx))
        folder = os.path.dirname(path) or "."
        if not os.path.exists(path) and not os.access(folder, os.W_OK | os.X_OK):
            missing = "not writable" if os.path.isdir(folder) else "no such directory"
            self.fail(f"{path!r}: {folder}: {missing}", param, ctx)
        return path


def single_value(
    hint: str,
) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], str | None]:
    """Return a callback for an option that takes one value: a second one is an error.

    Args:
        hint: What a user who gave two may want instead.
    """

    def take(_: click.Context, param: click.Parameter, values: tuple[str, ...]) -> str | None:
        if len(values) > 1:
            raise UsageError(f"{param.opts[0]}: is given {len(values)} times", hint=hint)
        return values[0] if values else None

    return take
