# SPDX-License-Identifier: Apache-2.0
"""Run MLCube tasks on SSH hosts.

The functions do the same as the command line; docs/api.md has examples. A module is imported when
one of its names is used for the first time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlcube_remote._version import __version__

if TYPE_CHECKING:
    from mlcube_remote.api.following import attach, logs, pull, status, stop
    from mlcube_remote.api.hosts import check, clean, hosts, ps, top
    from mlcube_remote.api.results import Results, RunFailedError, RunResult, results
    from mlcube_remote.api.runs import configure, describe, rerun, run
    from mlcube_remote.dispatch.outcome import JobOutcome, PulledOutput, Status, TaskOutcome
    from mlcube_remote.errors import MLCubeRemoteError

_MODULES = {
    "mlcube_remote.api.following": ("attach", "logs", "pull", "status", "stop"),
    "mlcube_remote.api.hosts": ("check", "clean", "hosts", "ps", "top"),
    "mlcube_remote.api.results": ("Results", "RunFailedError", "RunResult", "results"),
    "mlcube_remote.api.runs": ("configure", "describe", "rerun", "run"),
    "mlcube_remote.dispatch.outcome": ("JobOutcome", "PulledOutput", "Status", "TaskOutcome"),
    "mlcube_remote.errors": ("MLCubeRemoteError",),
}

__all__ = [
    "JobOutcome",
    "MLCubeRemoteError",
    "PulledOutput",
    "Results",
    "RunFailedError",
    "RunResult",
    "Status",
    "TaskOutcome",
    "__version__",
    "attach",
    "check",
    "clean",
    "configure",
    "describe",
    "get_runner_class",
    "hosts",
    "logs",
    "ps",
    "pull",
    "rerun",
    "results",
    "run",
    "status",
    "stop",
    "top",
]


def get_runner_class() -> type[Any]:
    """Return the runner class; MLCube's own command calls this in packages named ``mlcube_…``."""
    from mlcube_remote.runner import RemoteRunner  # noqa: PLC0415 - it imports mlcube

    return RemoteRunner


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
