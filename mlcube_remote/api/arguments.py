# SPDX-License-Identifier: Apache-2.0
"""From the arguments of a function to what the command line makes of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mlcube_remote.dispatch.events import Event
from mlcube_remote.errors import UsageError
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Stream

if TYPE_CHECKING:
    import click

Names = str | Iterable[str]
"""One name, several with commas between, or an iterable of them."""

OnEvent = Callable[[Event], None]
"""Is told what happens, one event at a time, from threads that are not yours."""


@attrs.frozen
class Listener:
    """A reporter that only passes events on."""

    on_event: OnEvent | None

    def handle(self, event: Event) -> None:
        """Pass an event on."""
        if self.on_event is not None:
            self.on_event(event)

    def print_block(self, title: str, stream: Stream, lines: Iterator[str]) -> None:
        """Take lines that nobody sees."""

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """Return what lasts while the user is asked, which nobody is."""
        return contextlib.nullcontext()

    def close(self) -> None:
        """Nothing to give back."""


def defaults(command: click.Command, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Return what the command line's options are when nobody gives them."""
    context = command.make_context(command.name, [], resilient_parsing=True)
    params = {name: value for name, value in context.params.items() if name not in without}
    # There is nobody to be asked.
    return {**params, "on_interrupt": "stop"}


def where(
    hosts: Names,
    inventory: str | os.PathLike[str] | None,
    password: str | None,
    passphrase: str | None,
) -> dict[str, Any]:
    """Say which hosts, of which inventory, and how to log in."""
    return {
        "hosts": (hosts,) if isinstance(hosts, str) else tuple(hosts),
        "inventory": None if inventory is None else os.fspath(inventory),
        **logins(password, passphrase),
    }


def logins(password: str | None, passphrase: str | None) -> dict[str, Any]:
    """Say how to log in; nobody is asked."""
    return {
        "ask_password": Secret(password) if password is not None else False,
        "ask_passphrase": Secret(passphrase) if passphrase is not None else False,
    }


def cube(
    mlcube: str | os.PathLike[str],
    overrides: Mapping[str, str] | None,
    workspace: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """Say which cube.

    Raises:
        UsageError: There is none.
    """
    if not Path(mlcube).exists():
        raise UsageError(f"{os.fspath(mlcube)}: no such cube")
    return {
        "mlcube": os.fspath(mlcube),
        "overrides": pairs(overrides),
        "workspace": None if workspace is None else os.fspath(workspace),
    }


def sweeps(sweep: Mapping[str, Iterable[object]] | None) -> tuple[str, ...]:
    """Return what ``--sweep`` would be given.

    Raises:
        UsageError: A value could not be told from two.
    """
    options = []
    for name, values in (sweep or {}).items():
        # A text is one value, not its letters.
        texts = [values] if isinstance(values, str) else [str(value) for value in values]
        if apart := [text for text in texts if "," in text]:
            raise UsageError(
                f"sweep: {name}: a value with a comma: {apart[0]!r}",
                hint="such values are given in a sweep_file",
            )
        options.append(f"{name}={','.join(texts)}")
    return tuple(options)


def names(names: Names) -> tuple[str, ...]:
    """Return names as the command line has them."""
    return (names,) if isinstance(names, str) else tuple(names)


def pairs(values: Mapping[str, str] | None) -> tuple[str, ...]:
    """Return ``NAME=VALUE`` for each."""
    return tuple(f"{name}={value}" for name, value in (values or {}).items())
