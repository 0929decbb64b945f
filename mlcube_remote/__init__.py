# SPDX-License-Identifier: Apache-2.0
"""Run MLCube tasks on machines reached over SSH."""

from typing import Any

from mlcube_remote._version import __version__

__all__ = ["__version__", "get_runner_class"]


def get_runner_class() -> type[Any]:
    """Return the runner that MLCube's own command looks for in packages called ``mlcube_…``."""
    from mlcube_remote.runner import RemoteRunner  # noqa: PLC0415 - only for mlcube, which has mlcube

    return RemoteRunner
