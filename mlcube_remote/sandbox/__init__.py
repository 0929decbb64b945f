# SPDX-License-Identifier: Apache-2.0
"""Disposable SSH hosts on this machine, to try mlcube-remote and to test it.

:func:`up` starts them as containers, :func:`status` lists them, :func:`down` removes them.
"""

from mlcube_remote.sandbox.engine import SandboxError
from mlcube_remote.sandbox.lifecycle import LABEL, down, status, up
from mlcube_remote.sandbox.paths import Sandbox, SandboxHost

__all__ = ["LABEL", "Sandbox", "SandboxError", "SandboxHost", "down", "status", "up"]
