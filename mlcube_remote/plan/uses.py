# SPDX-License-Identifier: Apache-2.0
"""What of a host a job uses, besides its own directory: mirrors, data and an image.

The host records the time of each use (``remote/uses.sh``), so that what no job uses any more can be
shown and removed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from mlcube_remote.commands.model import ImageCommands
from mlcube_remote.plan.host_paths import cube_directory, data_directory, workspace_directory
from mlcube_remote.plan.job_plan import JobPlan
from mlcube_remote.plan.placement import DataLocation
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.runs.ids import client_name

OWNER_LABEL = "org.mlcommons.mlcube-remote.owner"
"""The label with the id of the user for whom a container was started, or an image built."""

IMAGE_LABEL = "org.mlcommons.mlcube-remote.image"
"""The label with the name of the image: an image that is built from it inherits the label, but has
another name."""

SOURCES_LABEL = "org.mlcommons.mlcube-remote.sources"
"""The label with the digest of what an image was built from, and its name."""


def use_words(plan: JobPlan) -> tuple[str, ...]:
    """Return the arguments of ``mlcr_write_uses`` for a job, without the job."""
    pairs = dict(_directories(plan))
    if plan.image.platform in CONTAINER_ENGINES and plan.image.image.isprintable():
        engine = " ".join(plan.image.engine)
        pairs[image_key(plan.image)] = f"{plan.image.image}\n{engine}"
    return (_line(client_name()), *(word for pair in pairs.items() for word in pair))


def image_key(image: ImageCommands) -> str:
    """Return the key of an image of an engine, the same for all clients."""
    digest = hashlib.sha256("\0".join((*image.engine, image.image)).encode()).hexdigest()[:12]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", image.image).strip("._-")[:40] or "image"
    return f"images/{readable}-{digest}"


def image_labels(uid: str, image: str, sources: str) -> tuple[str, ...]:
    """Return the options of a build that mark the image as ours.

    Args:
        uid: Id of the user on the host.
        image: The image's name.
        sources: The digest of what it is built from; "" if not known.
    """
    labels = {OWNER_LABEL: uid, IMAGE_LABEL: image, SOURCES_LABEL: sources_label(image, sources)}
    return tuple(word for key, value in labels.items() for word in ("--label", f"{key}={value}"))


def sources_label(image: str, sources: str) -> str:
    """Return the value of the label; an image that is built from this one inherits it."""
    return f"{sources} {image}" if sources else ""


def _directories(plan: JobPlan) -> Iterator[tuple[str, str]]:
    """Yield the key of each directory that the job uses, with its name for people."""
    cube = plan.spec.cube
    if plan.spec.host.is_local:
        return
    yield cube_directory(cube), _line(cube.name or cube.root.name)
    workspace = workspace_directory(cube)
    if workspace.startswith("workspaces/"):
        yield workspace, _line(str(cube.workspace))
    sent = [
        item.local
        for _, item in plan.task_parameters()
        if item.where is DataLocation.CLIENT and item.local is not None
    ]
    for path in (*sent, *([plan.context.local] if plan.context else ())):
        yield data_directory(path).rpartition("/")[0], _line(str(path))


def _line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
