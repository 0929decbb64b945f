# SPDX-License-Identifier: Apache-2.0
"""Paths in hosts.yaml and ssh_config: where they lead on this machine, and what is there."""

from __future__ import annotations

import os
import stat

DEVICE = "a device"

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: DEVICE,
    stat.S_IFBLK: DEVICE,
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def expand_home(path: str) -> str:
    """Return a path with ``~`` and ``%d`` replaced by the home directory."""
    return os.path.expanduser(path.replace("%d", "~"))


def describe_special_file(file: str | int) -> str | None:
    """Return what a path or a descriptor is if it is not a regular file, such as ``a device``.

    A known_hosts file must be a regular one. A device such as ``/dev/null`` forgets the keys that
    ``accept-new`` adds: a changed key would then never be noticed.

    Returns:
        ``None`` for a regular file, also behind links, and for a path that does not exist or
        cannot be examined: opening it reports the reason.
    """
    try:
        mode = os.stat(file).st_mode
    except OSError:
        return None
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "not a regular file")
