# SPDX-License-Identifier: Apache-2.0
"""Try a login again if the failure may be transient: never a refused login, never a host key."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeVar

from mlcube_remote.errors import ConnectError
from mlcube_remote.transport.backoff import Backoff

T = TypeVar("T")

RETRY_DELAY_S, MAX_RETRY_DELAY_S = 0.75, 12.0
"""First and longest delay between attempts, before jitter."""

MAX_TIMEOUTS = 2
"""Maximum number of attempts that end in a timeout; the user waits for each of them."""

MAX_DROPPED = 8
"""Maximum number of attempts if sshd reports that it has too many logins."""

MAX_CLOSED = 3
"""Maximum number of attempts if sshd closes the connection without a reason.

It has too many logins, or it bans this address."""


class TransientConnectError(Exception):
    """A failure that another attempt may not have.

    Args:
        error: What to raise after the last attempt.
        max_attempts: Maximum number of attempts.
        is_overload: Whether fewer logins at the same time would help.
    """

    def __init__(
        self, error: ConnectError, *, max_attempts: int, is_overload: bool = False
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.max_attempts = max_attempts
        self.is_overload = is_overload


def retry_transient(connect: Callable[[], T]) -> T:
    """Return the result of ``connect``, and call it again after a transient failure.

    Raises:
        ConnectError: The last failure.
    """
    backoff = Backoff(RETRY_DELAY_S, MAX_RETRY_DELAY_S)
    for attempt in itertools.count(1):
        try:
            return connect()
        except TransientConnectError as problem:
            if attempt >= problem.max_attempts:
                raise problem.error from problem
            backoff.wait()
    raise AssertionError("unreachable")
