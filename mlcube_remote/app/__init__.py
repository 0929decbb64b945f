# SPDX-License-Identifier: Apache-2.0
"""What a command does: the use cases below the command line, the Python API and the runner.

A module is imported when it is first used, as in ``app.run.run()``: most of the package is below
it, and ``--help`` must not wait for that.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlcube_remote.app import dry_run as dry_run
    from mlcube_remote.app import exec as exec  # noqa: A004 - named after the command
    from mlcube_remote.app import follow as follow
    from mlcube_remote.app import host_queries as host_queries
    from mlcube_remote.app import hosts as hosts
    from mlcube_remote.app import inventory as inventory
    from mlcube_remote.app import job_lists as job_lists
    from mlcube_remote.app import kept_logins as kept_logins
    from mlcube_remote.app import known_hosts as known_hosts
    from mlcube_remote.app import latest_run as latest_run
    from mlcube_remote.app import new_cube as new_cube
    from mlcube_remote.app import new_host as new_host
    from mlcube_remote.app import repetition as repetition
    from mlcube_remote.app import request as request
    from mlcube_remote.app import rerun as rerun
    from mlcube_remote.app import results as results
    from mlcube_remote.app import run as run
    from mlcube_remote.app import sampling as sampling
    from mlcube_remote.app import trust as trust
else:

    def __getattr__(name: str) -> object:
        module = f"{__name__}.{name}"
        try:
            return import_module(module)
        except ModuleNotFoundError as problem:
            if problem.name != module:
                raise
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from problem
