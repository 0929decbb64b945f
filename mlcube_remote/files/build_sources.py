# SPDX-License-Identifier: Apache-2.0
"""The digest of what an image is built from, to notice later that the cube has changed.

A host keeps the image that it has built, as MLCube does. The image carries this digest in a label.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from mlcube_remote.commands.dockerfile import is_copied, read_sources
from mlcube_remote.cube.host_paths import contains
from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.files.build_context import IGNORE_FILES, context_trees
from mlcube_remote.files.sent_names import MAX_NAMES, SentNames, SentPath
from mlcube_remote.files.upload import NeededData, UploadTree, cube_trees
from mlcube_remote.plan.build_context import BuildContext
from mlcube_remote.plan.job_plan import JobPlan
from mlcube_remote.platforms import CONTAINER_ENGINES

MAX_BYTES = 64 * 1024 * 1024
"""Maximum size of the files; more would take too long to read before each run."""

_NOT_PROGRAMS = frozenset({"mlcube.yaml", "hosts.yaml", "hosts.ini", "hosts.json"})
"""Files of a cube that say how to run it; a build that copies everything does not need them."""


def digest_build_sources(plan: JobPlan, names: SentNames) -> str:
    """Return the SHA-256 of all that the image of a job is built from on this machine.

    These are the Dockerfile, the arguments of the build and the files that it copies, without the
    workspace.

    Args:
        plan: The plan of the job.
        names: The trees that this run has listed.

    Returns:
        "" if an engine does not keep the image of a build; or if that is not known: too many
        files, files that are too large, or a change at this moment.
    """
    image = plan.image
    is_kept = image.platform in CONTAINER_ENGINES and not image.before_each_run
    if not is_kept or not image.context:
        return ""
    try:
        return _digest(plan, names)
    except (OSError, MLCubeRemoteError):
        return ""  # the upload reports it


def _digest(plan: JobPlan, names: SentNames) -> str:
    cube = plan.spec.request.cube
    sent = _list_context(plan, names)
    recipe = sent.get(plan.image.source)
    if recipe is None:
        return ""
    text = recipe.local.read_bytes()
    sources = read_sources(text.decode("utf-8", "replace"))
    inside = posixpath.relpath(plan.paths.workspace, plan.image.context)
    if any(source != inside and contains(f"/{inside}", f"/{source}") for source in sources):
        return ""  # what is sent of the workspace depends on the task
    if "." in sources and cube.workspace != cube.root / "workspace":
        return ""  # the usual workspace may be in the cube, too
    copied = [each for each in sent.values() if _is_read(plan, each.remote, sources)]
    if sum(each.status.st_size for each in copied) > MAX_BYTES:
        return ""
    parts = [hashlib.sha256(text).hexdigest(), *_build_arguments(plan)]
    for each in sorted(copied, key=lambda each: each.remote):
        parts.append(posixpath.relpath(each.remote, plan.image.context))
        parts.append(_describe(each))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _list_context(plan: JobPlan, names: SentNames) -> dict[str, SentPath]:
    """Return the files of the build context by their paths on the host; none if not known.

    The list is the same for all tasks: what only some of them need is not in it.
    """
    image, cube = plan.image, plan.spec.request.cube
    outer = context_trees(plan.context)
    tree = outer[0] if outer else cube_trees(cube, NeededData(), plan.paths, "")[0]
    sent = _files(tree, names)
    if outer:
        return sent
    inside = posixpath.relpath(image.context, plan.paths.cube)
    context = BuildContext(local=cube.root / inside, remote=image.context)
    if not any((context.local / name).exists() for name in IGNORE_FILES):
        return sent
    kept = _files(context_trees(context)[0], names)
    return {path: file for path, file in sent.items() if path in kept}


def _files(tree: UploadTree, names: SentNames) -> dict[str, SentPath]:
    return {each.remote: each for each in names.read(tree) or () if not each.is_directory}


def _build_arguments(plan: JobPlan) -> Iterator[str]:
    """Yield the options of the build, without the names of the image, its recipe and context."""
    (argv,) = plan.image.configure
    yield from argv[len(plan.image.engine) + 1 : -len(("-t", "image", "-f", "recipe", "context"))]


def _is_read(plan: JobPlan, remote: str, sources: tuple[str, ...]) -> bool:
    path = posixpath.relpath(remote, plan.image.context)
    return (
        not path.startswith("../")
        and not contains(plan.paths.workspace, remote)
        and (path not in _NOT_PROGRAMS or path in sources)
        and is_copied(path, sources)
    )


def _describe(sent: SentPath) -> str:
    """Return what a copy in the image depends on: type, right to execute, content."""
    at = sent.status
    if stat.S_ISLNK(at.st_mode):
        return f"link {os.readlink(sent.local)}"
    content = _sum(sent.local, at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)
    return f"{at.st_mode & stat.S_IXUSR} {content}"


@lru_cache(maxsize=MAX_NAMES)
def _sum(path: Path, *_state: int) -> str:
    """Return the SHA-256 of a file, which is read again only if its state differs."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
