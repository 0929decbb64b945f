# SPDX-License-Identifier: Apache-2.0
"""Let the commands in hints name a host as the user typed it.

A host that was typed as ``user@host:port`` has a name for tables, records and directories; as
``--host``, this name would select another host or none.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.inventory.model import Host

_COMMAND = r"(mlcube-remote (?:login|hosts (?:check|top)) |--host=)"


@contextmanager
def hints_as_typed(host: Host) -> Iterator[None]:
    """Change the hint of an error that the block raises."""
    try:
        yield
    except MLCubeRemoteError as problem:
        if host.typed is not None and problem.hint is not None:
            typed = shlex.quote(host.typed)
            name = rf"{_COMMAND}{re.escape(host.name)}(?![\w.-])"
            problem.hint = re.sub(name, lambda found: f"{found[1]}{typed}", problem.hint)
        raise
