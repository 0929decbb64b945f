# SPDX-License-Identifier: Apache-2.0
"""All errors that a user can see, each with its exit code.

::

    MLCubeRemoteError                  1
    ├── UsageError                     2    the command line, or a file named there, is wrong
    │   ├── InventoryError             2    hosts.yaml
    │   ├── CubeError                  2    mlcube.yaml
    │   └── PlanError                  2    cube, task and host do not fit together
    ├── HostError                      1    one host has a problem; the error has its name
    │   ├── ConnectError             120    no SSH session was opened
    │   │   ├── UnreachableError     120    name, route, port, timeout
    │   │   │   └── IncompatibleServerError 120  it has only old algorithms (transport)
    │   │   ├── AuthenticationError  120    the host refused the login
    │   │   └── HostKeyError         120    the host's key is unknown, changed or revoked
    │   ├── HostUnfitError           122    no usable shell, rsync, engine or permission
    │   ├── ConfigureError           122    the image was not pulled or built
    │   ├── TransferError            121    an upload or a download is incomplete
    │   │   ├── AbortedTransferError 121    the client ended it: too slow, or a full disk
    │   │   └── DetachedPullError    130    the user detached while outputs were pulled
    │   ├── UnsafeContentError       118    files from the host were refused
    │   ├── BusyError                117    another run uses the workspace or the host
    │   │   └── ClaimLostError       117    it used them before the launch; tried again (jobs)
    │   ├── NotStartedError            1    the job was never started, or was removed
    │   ├── StateUnknownError        123    the connection was lost; the job may still run
    │   │   └── StalledError         123    it broke again and again, without progress
    │   ├── TaskTimeoutError         124    the task reached its time limit
    │   ├── StaleOutputError         119    the task left an output as it was (--fresh-outputs)
    │   └── UnexpectedError           70    a bug in mlcube-remote; results of other hosts count
    ├── NoHostError                  120    all hosts of a run are excluded (pool)
    │   ├── NoFitHostError           122    all of them because they are not fit (pool)
    │   └── AllBusyError             117    other runs use all remaining hosts (pool)
    ├── RecordError                    1    a record on this machine cannot be read or written
    ├── RunFailedError                 1    a job of the run failed (Python API)
    ├── SandboxError                 122    Docker refused a command for sandbox hosts (sandbox)
    └── StoppedByUserError           130    Ctrl-C
        ├── CancelledError           130    cancelled because other jobs failed
        └── DetachedError            130    the user stopped following; the job still runs

A word in brackets names the package or module that defines a class; this module has all others.
A message says what was found and what was expected; ``hint`` names the next step. The exit codes
are those of docs/reference/exit-codes.md.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar


class MLCubeRemoteError(Exception):
    """Base class of all errors that are not bugs.

    Args:
        message: One sentence: where, what was found, what was expected.
        hint: The next step, often a command to copy.
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "MLCubeRemote"
    """Name in JSON documents and JUnit files: the class without ``Error``.

    A class that was renamed sets its first name here, because programs read it.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.kind = cls.__dict__.get("kind", cls.__name__.removesuffix("Error"))

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    @property
    def __notes__(self) -> list[str]:
        """What Python 3.11 and later print below a traceback: the hint."""
        return [f"hint: {self.hint}"] if self.hint else []


class UsageError(MLCubeRemoteError):
    """The command line, or a file named there, is wrong; nothing was changed."""

    exit_code = 2


class InventoryError(UsageError):
    """``hosts.yaml`` is wrong, or a requested host is not in it."""


class CubeError(UsageError):
    """``mlcube.yaml`` is wrong."""


class PlanError(UsageError):
    """Cube, task, parameters and host do not fit together."""


class HostError(MLCubeRemoteError):
    """One host has a problem; the other hosts continue.

    Args:
        host: The host's inventory name.
        message: What happened, without the host's name, which is added in front.
        hint: The next step.
    """

    def __init__(self, host: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"{host}: {message}", hint=hint)
        self.host = host
        self.reason = message


class ConnectError(HostError):
    """No SSH session was opened; nothing happened on the host."""

    exit_code = 120


class UnreachableError(ConnectError):
    """The name does not resolve, or the address does not answer."""


class AuthenticationError(ConnectError):
    """The host answered and refused the login."""


class HostKeyError(ConnectError):
    """The host's key is unknown, changed or revoked; no login was tried."""


class HostUnfitError(HostError):
    """The host lacks what a run needs: a usable shell, rsync, an engine, a permission."""

    exit_code = 122


class ConfigureError(HostError):
    """The image was not pulled or built.

    Args:
        host: As for :class:`HostError`.
        message: What failed.
        output: The engine's last lines; the message repeats them.
        hint: The next step.
    """

    exit_code = 122

    def __init__(
        self, host: str, message: str, *, output: Sequence[str] = (), hint: str | None = None
    ) -> None:
        lines = ":\n  " + "\n  ".join(output) if output else ""
        super().__init__(host, f"{message}{lines}", hint=hint)
        self._brief = f"{message}: {output[-1]} (full output above)" if output else message

    def brief(self) -> HostError:
        """Return the error with the engine's last line only, for a user who saw the output."""
        return HostError(self.host, self._brief, hint=self.hint)


class TransferError(HostError):
    """An upload or a download is incomplete."""

    exit_code = 121


class AbortedTransferError(TransferError):
    """The client ended a transfer, because it was too slow or would have filled the disk.

    It is not tried again, and what had arrived is removed.
    """

    kind = "Transfer"


class DetachedPullError(TransferError):
    """The user detached from a job whose tasks had ended, while its outputs were pulled."""

    exit_code = 130
    kind = "Transfer"


class UnsafeContentError(HostError):
    """Files from the host were refused; none of them was moved into place."""

    exit_code = 118


class BusyError(HostError):
    """Another run uses the workspace or the host."""

    exit_code = 117


class NotStartedError(HostError):
    """The job was never started on its host, or was removed from it."""


class StateUnknownError(HostError):
    """The connection was lost after the task had started; the task may still run."""

    exit_code = 123


class StalledError(StateUnknownError):
    """The connection broke again and again, and the work on it made no progress."""


class TaskTimeoutError(HostError):
    """The task reached its time limit."""

    exit_code = 124


class StaleOutputError(HostError):
    """The task ended with 0 and left an output as it was, which ``--fresh-outputs`` refuses."""

    exit_code = 119


class UnexpectedError(HostError):
    """A bug in mlcube-remote ended the job of one host; ``__cause__`` has the traceback."""

    exit_code = 70


_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSALS = {
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some of your quota on that disk",
    errno.EROFS: "choose a place that can be written",
    errno.EACCES: "look at the permissions: ls -ld, for the path and each directory above it",
    errno.EPERM: "look at the permissions: ls -ld, for the path and each directory above it",
    errno.ELOOP: "look at the links in the path: namei -l, or ls -l",
    errno.EMFILE: "allow more open files: ulimit -n 4096",
    errno.EIO: "the disk or the terminal has failed; look at the system's log",
}
"""Refusals of the operating system that have a cause outside this program → the next step."""


class RecordError(MLCubeRemoteError):
    """A record on this machine cannot be read or written."""

    @classmethod
    def not_writable(cls, action: str, problem: OSError, *, hint: str) -> RecordError:
        """Return the error for a file that cannot be written.

        Args:
            action: What failed: ``the run cannot be recorded``.
            problem: The operating system's answer.
            hint: The next step.
        """
        where = "" if problem.filename is None else f"{problem.filename}: "
        if problem.errno in _FULL:
            _, comma, other = hint.partition(", or ")
            hint = f"free some space{comma}{other}"
        return cls(f"{action}: {where}{problem.strerror}", hint=hint)

    @classmethod
    def of_system(cls, problem: BaseException) -> RecordError | None:
        """Return the error for a refusal of the operating system that is no bug of ours.

        Returns:
            ``None``: It is something else.
        """
        if not isinstance(problem, OSError) or problem.errno not in _REFUSALS:
            return None
        where = "standard output" if problem.filename is None else problem.filename
        return cls(f"{where}: {problem.strerror}", hint=_REFUSALS[problem.errno])

    @classmethod
    def of_output(cls, problem: OSError) -> RecordError:
        """Return the error for output that could not be written."""
        reason = problem.strerror or str(problem)
        hint = _REFUSALS.get(problem.errno or 0, "write the output to another place")
        return cls(f"standard output: {reason}", hint=hint)

    @classmethod
    def too_new(cls, path: Path, noun: str, *, found: int, supported: int) -> RecordError:
        """Return the error for a file that a newer mlcube-remote has written.

        Args:
            path: The file.
            noun: What the file calls its number: ``format`` or ``version``.
            found: The number in the file.
            supported: The highest number that this version reads.
        """
        return cls(
            f"{path}: {noun} {found} is from a newer mlcube-remote; this one reads up to "
            f"{noun} {supported}",
            hint="upgrade: pip install --upgrade mlcube-remote",
        )


class StoppedByUserError(MLCubeRemoteError):
    """The user interrupted the command."""

    exit_code = 130

    def __init__(self, message: str = "interrupted", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)


class DetachedError(StoppedByUserError):
    """The user stopped following a job, which still runs.

    Args:
        host: The job's host.
        run_id: The job's run.
    """

    def __init__(self, host: str, run_id: str) -> None:
        super().__init__(
            f"{host}: no longer followed; the job continues on the host",
            hint=f"mlcube-remote attach {run_id}",
        )


class CancelledError(StoppedByUserError):
    """The job was cancelled because other jobs failed."""

    kind = "GivenUp"
