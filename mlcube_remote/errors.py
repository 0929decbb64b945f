# SPDX-License-Identifier: Apache-2.0
"""Every error that a user can meet, each with its exit code.

::

    MLCubeRemoteError
    ├── UsageError                     2    the command line, or a file it names, is wrong
    │   ├── InventoryError             2    hosts.yaml
    │   ├── CubeError                  2    mlcube.yaml
    │   └── PlanError                  2    cube, task and host do not fit together
    ├── HostError                           something about one host; carries its name
    │   ├── ConnectError             120    no session could be had
    │   │   ├── UnreachableError     120    name, route, port, timeout
    │   │   ├── AuthenticationError  120    login refused
    │   │   └── HostKeyError         120    key unknown, changed or revoked
    │   ├── HostUnfitError           122    no usable shell, rsync, engine or permission
    │   ├── ConfigureError           122    the image could not be pulled or built
    │   ├── TransferError            121    sync or pull incomplete
    │   ├── UnsafeContentError       118    what the host sent back was refused
    │   ├── BusyError                117    workspace or host held by another run
    │   ├── NotStartedError        1    an earlier run's job is not there
    │   ├── StateUnknownError        123    the connection was lost; the run may go on
    │   ├── TaskTimeoutError         124    the task ran out of its time
    │   └── UnexpectedError           70    a bug of ours; the other hosts' results still count
    └── StoppedByUserError           130    Ctrl-C
        ├── GivenUpError             130    cancelled, because other jobs had failed
        └── DetachedError            130    the user stopped following; the job goes on

A message says what happened and what was expected; ``hint`` says what to do next. Exit codes
are those of docs/reference/exit-codes.md. Only ``mlcube_remote.cli.main`` prints errors and exits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class MLCubeRemoteError(Exception):
    """Base of all errors that are not bugs.

    Args:
        message: One sentence: where, what was found, what was expected.
        hint: The next step, often a command to copy.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(MLCubeRemoteError):
    """The command line, or a file that it names, is wrong; nothing was touched."""

    exit_code = 2


class InventoryError(UsageError):
    """``hosts.yaml`` is wrong, or a host that was asked for is not in it."""


class CubeError(UsageError):
    """``mlcube.yaml`` is wrong."""


class PlanError(UsageError):
    """Cube, task, parameters and host do not fit together."""


class HostError(MLCubeRemoteError):
    """Something went wrong with one host; the others go on.

    Args:
        host: The host's inventory name.
        message: What happened there (without the host's name, which is put in front).
        hint: The next step.
    """

    def __init__(self, host: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"{host}: {message}", hint=hint)
        self.host = host
        self.reason = message


class ConnectError(HostError):
    """No SSH session could be had; nothing happened on the host."""

    exit_code = 120


class UnreachableError(ConnectError):
    """The name does not resolve, or nothing answers at the address."""


class AuthenticationError(ConnectError):
    """The host answered and refused the login."""

    server_hung_up = False
    """Whether the server closed the connection during the login, instead of refusing it."""


class HostKeyError(ConnectError):
    """The host's key is unknown, changed or revoked; no login was tried."""


class HostUnfitError(HostError):
    """The host lacks what a run needs: a usable shell, rsync, an engine, a permission."""

    exit_code = 122


class ConfigureError(HostError):
    """The image could not be pulled or built.

    Args:
        host: As for :class:`HostError`.
        message: What failed.
        said: The engine's last lines, which the message repeats.
        hint: The next step.
    """

    exit_code = 122

    def __init__(
        self, host: str, message: str, *, said: Sequence[str] = (), hint: str | None = None
    ) -> None:
        lines = ":\n  " + "\n  ".join(said) if said else ""
        super().__init__(host, f"{message}{lines}", hint=hint)
        self._brief = f"{message}; what it said stands above" if said else message

    def brief(self) -> HostError:
        """Return the error for whoever has just seen what the engine said."""
        return HostError(self.host, self._brief, hint=self.hint)


class TransferError(HostError):
    """A sync or a pull did not complete."""

    exit_code = 121


class UnsafeContentError(HostError):
    """What the host sent back was refused; nothing of it was put in place."""

    exit_code = 118


class BusyError(HostError):
    """The workspace, or the host, is held by another run."""

    exit_code = 117


class NotStartedError(HostError):
    """The job was never started on its host, or is not there any more."""


class StateUnknownError(HostError):
    """The connection was lost after the task had started: it may go on there."""

    exit_code = 123


class TaskTimeoutError(HostError):
    """The task ran out of the time it was given."""

    exit_code = 124


class UnexpectedError(HostError):
    """A bug in mlcube-remote ended one host's job; its traceback is the ``__cause__``."""

    exit_code = 70


class StoppedByUserError(MLCubeRemoteError):
    """The user interrupted the command."""

    exit_code = 130

    def __init__(self, message: str = "interrupted", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)


class DetachedError(StoppedByUserError):
    """The user stopped following a job, which goes on."""

    def __init__(self, host: str, run_id: str) -> None:
        super().__init__(
            f"{host}: not followed any more; the job goes on there",
            hint=f"mlcube-remote attach {run_id}",
        )


class GivenUpError(StoppedByUserError):
    """The job was cancelled because of the others: enough of them had failed."""
