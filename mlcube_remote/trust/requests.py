# SPDX-License-Identifier: Apache-2.0
"""What a cube asks for beyond its own, and whether the user allowed it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

import attrs

from mlcube_remote.errors import PlanError, UsageError


@attrs.frozen(kw_only=True)
class CubeRequest:
    """One thing that a cube asks for beyond its directory, its workspace and its container."""

    where: str = attrs.field(eq=False)
    """Position in the cube's files, such as ``mlcube.yaml:4:3``."""
    what: str
    """One line for the user; the user's yes is remembered for exactly this text."""
    sends: Path | None = attrs.field(default=None, eq=False)
    """Directory of this machine that is sent to the host if the user allows it."""
    instead: str | None = attrs.field(default=None, eq=False)
    """What the user can type instead of trusting the cube, if there is something."""
    inventory: Path | None = attrs.field(default=None, eq=False)
    """The inventory that asks for this, if the review shows it only if the user names it."""


@attrs.frozen(kw_only=True)
class Trust:
    """The user's yes to requests of one cube."""

    everything: bool = False
    """Whether the user trusts the cube for this command (``--trust-cube``)."""
    granted: frozenset[str] = frozenset()
    """:attr:`CubeRequest.what` of each request that the user allowed before."""

    def missing(self, requests: Iterable[CubeRequest]) -> tuple[CubeRequest, ...]:
        """Return the requests that the user has not allowed, each once."""
        if self.everything:
            return ()
        return tuple(
            dict.fromkeys(request for request in requests if request.what not in self.granted)
        )

    def allows_variable(self, name: str) -> bool:
        """Return whether the cube may read an environment variable of this machine."""
        return self.everything or variable_request_text(name) in self.granted


NO_TRUST = Trust()
"""The trust in a cube that the user has said nothing about."""

FULL_TRUST = Trust(everything=True)
"""The trust of ``--trust-cube``."""


def variable_request_text(name: str) -> str:
    """Return the text of the request to read an environment variable of this machine."""
    return f"the value of ${name} on this machine, as part of commands that other users can see"


def check(
    requests: Iterable[CubeRequest],
    trust: Trust,
    *,
    cube: Path,
    error: type[UsageError] = PlanError,
    has_flag: bool = True,
) -> None:
    """Refuse requests that the user has not allowed.

    Args:
        requests: What the cube asks for.
        trust: What the user allowed.
        cube: The cube's directory.
        error: The class of the error to raise.
        has_flag: Whether the command has the option ``--trust-cube``, for the hint.

    Raises:
        UsageError: A request is not allowed. It is an instance of ``error``; the message names
            the position, and the hint how to allow it.
    """
    missing = trust.missing(requests)
    if not missing:
        return
    first, others = missing[0], len(missing) - 1
    more = f" ({others} more)" if others else ""
    raise error(
        f"{first.where}: a cube may not ask for this without your trust: {first.what}{more}",
        hint=trust_hint(cube, first.instead, inventory=first.inventory, has_flag=has_flag),
    )


def trust_hint(
    cube: Path,
    instead: str | None = None,
    *,
    inventory: Path | None = None,
    has_flag: bool = True,
) -> str:
    """Return how to allow what a cube asks for, or how to do without."""
    named = () if inventory is None else ("--inventory", str(inventory))
    command = shlex.join(["mlcube-remote", "trust", *named, str(cube)])
    review = f"review and allow it: {command}"
    other = f"{instead}; or " if instead else ""
    flag = "; or add --trust-cube for one command" if has_flag else ""
    return f"{other}{review}{flag}"
