# SPDX-License-Identifier: Apache-2.0
"""Run MLCube tasks on SSH hosts.

The functions do what the command line does; docs/reference/python-api.md shows how. A function's
module is imported when the function is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlcube_remote._version import __version__ as __version__

if TYPE_CHECKING:
    from mlcube_remote.api.following import attach as attach
    from mlcube_remote.api.following import logs as logs
    from mlcube_remote.api.following import pull as pull
    from mlcube_remote.api.following import status as status
    from mlcube_remote.api.following import stop as stop
    from mlcube_remote.api.hosts import check as check
    from mlcube_remote.api.hosts import clean as clean
    from mlcube_remote.api.hosts import clean_mirrors as clean_mirrors
    from mlcube_remote.api.hosts import disk as disk
    from mlcube_remote.api.hosts import hosts as hosts
    from mlcube_remote.api.hosts import ps as ps
    from mlcube_remote.api.hosts import top as top
    from mlcube_remote.api.results import Results as Results
    from mlcube_remote.api.results import RunFailedError as RunFailedError
    from mlcube_remote.api.results import RunResult as RunResult
    from mlcube_remote.api.results import results as results
    from mlcube_remote.api.runs import configure as configure
    from mlcube_remote.api.runs import describe as describe
    from mlcube_remote.api.runs import rerun as rerun
    from mlcube_remote.api.runs import run as run
    from mlcube_remote.errors import MLCubeRemoteError as MLCubeRemoteError
    from mlcube_remote.events.outcome import JobOutcome as JobOutcome
    from mlcube_remote.events.outcome import PulledOutput as PulledOutput
    from mlcube_remote.events.outcome import Status as Status
    from mlcube_remote.events.outcome import TaskOutcome as TaskOutcome

_MODULES = {
    "mlcube_remote.api.following": ("attach", "logs", "pull", "status", "stop"),
    "mlcube_remote.api.hosts": ("check", "clean", "clean_mirrors", "disk", "hosts", "ps", "top"),
    "mlcube_remote.api.results": ("Results", "RunFailedError", "RunResult", "results"),
    "mlcube_remote.api.runs": ("configure", "describe", "rerun", "run"),
    "mlcube_remote.events.outcome": ("JobOutcome", "PulledOutput", "Status", "TaskOutcome"),
    "mlcube_remote.errors": ("MLCubeRemoteError",),
}

__all__ = [  # noqa: PLE0604 - names
    *sorted(["__version__", "get_runner_class", *(n for names in _MODULES.values() for n in names)])
]


def get_runner_class() -> type[Any]:
    """Return the runner for ``mlcube``, which calls this in all packages named ``mlcube_…``."""
    from mlcube_remote.runner import RemoteRunner  # noqa: PLC0415 - needs mlcube

    return RemoteRunner


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
