# SPDX-License-Identifier: Apache-2.0
"""Groups of options whose values arrive in a command as one typed argument."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import click

from mlcube_remote.app.options import Credentials
from mlcube_remote.errors import UsageError
from mlcube_remote.secret import Secret

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[Any], Any]


def combine(*decorators: Decorator) -> Callable[[F], F]:
    """Return one decorator that applies all of them; the first is the outermost."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def group(argument: str, build: Callable[..., object], *decorators: Decorator) -> Callable[[F], F]:
    """Return a decorator that adds options, and passes their values as one argument.

    Args:
        argument: Name of the argument of the command.
        build: Makes its value; called with the options' values by name.
        decorators: The options.
    """

    def decorate(function: F) -> F:
        names: list[str] = []

        @functools.wraps(function)
        def call(**values: Any) -> Any:
            own = {name: values.pop(name) for name in names}
            return function(**values, **{argument: build(**own)})

        # click collects the parameters of a function in this attribute.
        before = len(getattr(call, "__click_params__", ()))
        decorated = combine(*decorators)(call)
        added: list[click.Parameter] = decorated.__click_params__[before:]  # type: ignore[attr-defined]
        names += [parameter.name for parameter in added if parameter.name is not None]
        return decorated  # type: ignore[return-value]

    return decorate


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


@attrs.frozen(kw_only=True)
class CredentialPrompts:
    """Asks for what ``--ask-password`` and ``--ask-passphrase`` announce."""

    ask_password: bool
    ask_passphrase: bool

    def __call__(self) -> Credentials:
        """Return what the user types."""
        return Credentials(
            password=_prompt("Login password") if self.ask_password else None,
            passphrase=_prompt("Passphrase of the private keys") if self.ask_passphrase else None,
        )


def print_warning(text: str) -> None:
    """Print a warning to standard error."""
    click.echo(f"warning: {text}", err=True)


def _prompt(text: str) -> Secret:
    return Secret(click.prompt(text, hide_input=True, err=True))


@attrs.frozen(kw_only=True)
class Display:
    """What a command prints."""

    quiet: bool = False
    """Only the tasks' output, and errors."""
    verbose: bool = False
    """Also each command that runs on a host."""
    output: str = "text"
    """``text`` or ``json``."""

    @property
    def as_json(self) -> bool:
        """Whether standard output is one JSON document."""
        return self.output == "json"


@attrs.frozen(kw_only=True)
class ReportPaths:
    """Files that a command writes for other programs."""

    events: str | None = None
    junit: str | None = None


@attrs.frozen(kw_only=True)
class Following:
    """How long a command tries to reach a host again, and what Ctrl-C does."""

    reconnect_timeout: float
    """Seconds."""
    on_interrupt: str
    """``ask``, ``stop`` or ``detach``."""
