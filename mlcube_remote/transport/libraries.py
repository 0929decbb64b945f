# SPDX-License-Identifier: Apache-2.0
"""Paramiko, imported without what we never use of it.

For ``Match exec`` in its own ssh_config parser, Paramiko imports Invoke where it is installed, and
with it asyncio and unittest: a third of its import time, on every run. ``ssh -G`` reads ssh_config
here, so for the time of the import there is no Invoke.
"""

from __future__ import annotations

import logging
import sys


def _import_without_invoke() -> None:
    if "paramiko" in sys.modules or "invoke" in sys.modules:
        return
    sys.modules["invoke"] = None  # type: ignore[assignment] # the documented way to hide a module
    try:
        import paramiko  # noqa: F401, PLC0415 - the point of this module
    finally:
        del sys.modules["invoke"]


_import_without_invoke()

# Paramiko logs what it raises as well; the error is told once, in our words.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False
