# SPDX-License-Identifier: Apache-2.0
"""One task as a dry run shows it."""

from __future__ import annotations

import attrs

from mlcube_remote.commands.model import Argv


@attrs.frozen(kw_only=True)
class PlannedTask:
    """One task on one host, or its image alone."""

    host: str
    job: str = ""
    """The job's name in a sweep or among shards; empty if each host has one job."""
    platform: str
    task: str | None
    """``None``: only the image is prepared."""
    configure: tuple[Argv, ...]
    """Commands that pull or build the image."""
    run: tuple[Argv, ...] = ()
    """Commands that run the task."""
    creates: tuple[str, ...] = ()
    """Directories to create before the task runs."""
    launch: Argv = ()
    """Options that the launcher adds to the last command of ``run``."""
