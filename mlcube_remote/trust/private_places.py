# SPDX-License-Identifier: Apache-2.0
"""Which places of this machine a link may not open for a host.

A cube may contain a link to any path. With ``--copy-links`` the user allows links that leave the
cube, but hardly a link to keys or to the whole home directory. Such data must be named itself.
"""

from __future__ import annotations

import os
from pathlib import Path

_SHARED_CACHES = ".cache"
"""The hidden directory of a home directory that contains data sets and models."""

_KERNEL = (Path("/proc"), Path("/sys"))
"""What looks like files there describes this machine and its processes."""


def describe_private_place(target: Path) -> str | None:
    """Return why a link to ``target`` is not followed; ``None`` if it may be followed.

    Args:
        target: Where the link leads, without links: the answer of the file system.
    """
    home = Path(os.path.realpath(Path.home()))
    if home.is_relative_to(target):
        return "contains your home directory"
    if target.is_relative_to(home):
        first = target.relative_to(home).parts[0]
        if first.startswith(".") and first != _SHARED_CACHES:
            return "is hidden in your home directory"
    if any(target.is_relative_to(folder) for folder in _KERNEL):
        return "describes this machine"
    return None
