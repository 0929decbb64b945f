# SPDX-License-Identifier: Apache-2.0
"""Whether a host has the image that a job needs."""

from __future__ import annotations

import attrs

from mlcube_remote.commands.model import ImageCommands
from mlcube_remote.errors import HostUnfitError
from mlcube_remote.facts.engine_errors import engine_error
from mlcube_remote.facts.probe import HostFacts
from mlcube_remote.plan.host_paths import HostPaths
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.transport.base import Connection


@attrs.frozen
class Image:
    """Whether an image is on a host, and for which machine it was made."""

    present: bool
    architecture: str = ""
    stale: bool = False
    """Whether it is there, but was built from another recipe."""


def find_image(connection: Connection, needed: ImageCommands, paths: HostPaths) -> Image:
    """Ask whether an image is there.

    Args:
        connection: The host.
        needed: The image; for Singularity and Apptainer a file, held against its recipe.
        paths: The job's paths.

    Raises:
        HostUnfitError: The engine is missing, does not run, or may not be used.
    """
    platform, engine = needed.platform, needed.engine
    if platform not in CONTAINER_ENGINES:
        reply = connection.call("mlcr_sif", *sif_arguments(needed, paths))
        if not reply.ok:
            raise engine_error(connection, platform, engine, reply)
        told = reply.text.strip()
        return Image(told == "f", stale=told == "stale")
    reply = connection.call("mlcr_image", needed.image, *engine)
    if reply.ok:
        return Image(True, reply.text.strip().partition("/")[2])
    said = reply.stderr.decode("utf-8", "replace").strip()
    lowered = said.lower()
    if "no such image" in lowered or "image not known" in lowered:
        return Image(False)
    raise engine_error(connection, platform, engine, reply)


def sif_arguments(needed: ImageCommands, paths: HostPaths) -> tuple[str, ...]:
    """Return what the functions of ``sif.sh`` take, from the cube's directory on."""
    source, count, command = "", len(needed.engine), needed.engine
    if needed.configure:
        source, count, command = needed.source, count + 1, needed.configure[0][:-2]
    return (paths.cube, paths.workspace, needed.image, source, str(count), *command)


def require_architecture(
    connection: Connection, facts: HostFacts, image: Image, name: str
) -> str | None:
    """Refuse an image made for another machine, unless the host emulates that one.

    Returns:
        A warning when the image will be emulated.

    Raises:
        HostUnfitError: The host cannot run the image.
    """
    if not image.architecture or image.architecture == facts.architecture:
        return None
    emulated = {"arm64": "aarch64", "amd64": "x86_64", "386": "i386"}.get(
        image.architecture, image.architecture
    )
    binfmt = f"/proc/sys/fs/binfmt_misc/qemu-{emulated}"
    if connection.call("mlcr_kind", binfmt).text.strip() == "f":
        return (
            f"image {name} is for {image.architecture}, this machine is {facts.architecture}: "
            "it is emulated, and slow"
        )
    raise HostUnfitError(
        connection.name,
        f"image {name} is for {image.architecture}, the machine is {facts.architecture}",
        hint="build or pull the image for this architecture "
        "(mlcube-remote configure builds it on the host where there is a Dockerfile)",
    )
