# SPDX-License-Identifier: Apache-2.0
"""Groups of options whose values arrive in a command as one typed argument."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, TypeVar

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
        decorators: The options. Their names must differ from those of all other options of a
            command.
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
        taken = {parameter.name for parameter in decorated.__click_params__[:before]}  # type: ignore[attr-defined]
        assert taken.isdisjoint(names), taken.intersection(names)  # noqa: S101 - a mistake of ours
        return decorated  # type: ignore[return-value]

    return decorate


@attrs.frozen(kw_only=True)
class CredentialPrompts:
    """Asks for the secrets that ``--ask-password`` and ``--ask-passphrase`` announce."""

    ask_password: bool
    ask_passphrase: bool

    def __call__(self) -> Credentials:
        """Return what the user types, and a way to ask for more."""
        from mlcube_remote.cli.questions import open_answers  # noqa: PLC0415 - not for --help

        return Credentials(
            password=_prompt("Login password", "--ask-password") if self.ask_password else None,
            passphrase=(
                _prompt("Passphrase of the private keys", "--ask-passphrase")
                if self.ask_passphrase
                else None
            ),
            answers=open_answers(),
        )


def _prompt(text: str, option: str) -> Secret:
    try:
        return Secret(click.prompt(text, hide_input=True, err=True))
    except click.Abort as aborted:
        # Ctrl-C ends it in the same way.
        if not isinstance(aborted.__context__, EOFError):
            raise
        raise UsageError(
            f"{option}: expected an answer on a terminal, found the end of the input",
            hint="use a terminal, or load the key into the agent (ssh-add)",
        ) from None


InterruptAction = Literal["ask", "stop", "detach"]
"""What Ctrl-C does to running jobs; without a terminal, ``ask`` means ``stop``."""


@attrs.frozen(kw_only=True)
class Display:
    """What a command prints and writes about its jobs, and how the user can interrupt it."""

    quiet: bool = False
    """Only the tasks' output, and errors."""
    verbose: bool = False
    """Also each command that runs on a host."""
    output: str = "text"
    """``text`` or ``json``."""
    gather: bool = False
    """Whether to print identical output of several hosts once."""
    ordered: bool = False
    """Whether to print the output of several jobs one after the other."""
    events: str | None = None
    """File for the events, as JSON lines."""
    junit: str | None = None
    """File for the result of each task, as JUnit XML."""
    report: str | None = None
    """File for an HTML report of the run, kept up to date."""
    notify: str | None = None
    """``desktop``, or a command to run when the run has ended."""
    on_interrupt: InterruptAction = "detach"
    only_prints: bool = False
    """Whether the command has nothing else to do if its output has no reader any more."""

    @property
    def as_json(self) -> bool:
        """Whether standard output is one JSON document."""
        return self.output == "json"
