# SPDX-License-Identifier: Apache-2.0
"""Run MLCube tasks on machines reached over SSH."""

from mlcube_remote._version import __version__

__all__ = ["__version__"]
