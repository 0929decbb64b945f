# SPDX-License-Identifier: Apache-2.0
"""Upload a build context that is outside the cube, without what its ``.dockerignore`` excludes.

The engine on the host applies ``.dockerignore`` again, so a pattern that rsync cannot express is
sent and does no harm. In ``.dockerignore`` each pattern is relative to the context
(https://docs.docker.com/build/concepts/context/#dockerignore-files), unlike in gitignore.
"""

from __future__ import annotations

from mlcube_remote.files.filters import filter_rules, read_ignore_file
from mlcube_remote.files.upload import UploadTree
from mlcube_remote.plan.build_context import BuildContext

IGNORE_FILES = ("Dockerfile.dockerignore", ".dockerignore")
"""Files of a context that say what the engine does not read."""


def context_trees(context: BuildContext | None) -> tuple[UploadTree, ...]:
    """Return the tree to upload; none if there is no such context.

    Raises:
        CubeError: Its ``.dockerignore`` cannot be read; see :func:`read_ignore_file`.
    """
    if context is None:
        return ()
    lines = [line for name in IGNORE_FILES for line in read_ignore_file(context.local / name)]
    # The engine needs its own files, even if they are ignored.
    rules = ("+ /*ockerfile*", "+ /.dockerignore", *filter_rules(_anchored(lines)))
    return (UploadTree(local=context.local, remote=context.remote, rules=rules, mirror=True),)


def _anchored(lines: list[str]) -> list[str]:
    """Return the patterns relative to the context; none if a pattern includes something again.

    rsync cannot include a file of a directory that it excludes, so then everything is sent.
    """
    patterns = [line.strip() for line in lines]
    patterns = [line for line in patterns if line and not line.startswith("#")]
    if any(line.startswith("!") for line in patterns):
        return []
    return [line if line.startswith("**/") else f"/{line.lstrip('/')}" for line in patterns]
