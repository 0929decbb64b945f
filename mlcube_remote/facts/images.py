# SPDX-License-Identifier: Apache-2.0
"""Whether a host has the image that a job needs."""

from __future__ import annotations

import re

import attrs

from mlcube_remote.commands.model import ImageCommands
from mlcube_remote.errors import HostUnfitError
from mlcube_remote.events.provenance import ImageIdentity
from mlcube_remote.facts.engine_errors import engine_error
from mlcube_remote.facts.path_kind import read_kind
from mlcube_remote.facts.probe import HostFacts
from mlcube_remote.plan.host_paths import HostPaths
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.transport.base import Connection
from mlcube_remote.transport.quoting import quote_words

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_VERSION = 100
"""Maximum number of characters of an engine's version."""


@attrs.frozen
class Image:
    """An image on a host."""

    present: bool
    architecture: str = ""
    """The machine that it was built for, such as ``amd64``; empty if unknown."""
    stale: bool = False
    """Whether it was built from another version of the recipe, and will be built again."""
    is_other: bool = False
    """Whether an engine built it from other files than the cube has now, and uses it as it is."""
    sources: str = ""
    """The label of an engine's image that says what it was built from; empty: it has none."""
    identity: ImageIdentity = ImageIdentity()
    """Its digests, for the record of the job."""
    answer: str = attrs.field(default="", eq=False, repr=False)
    """What the engine said about it."""


def find_image(connection: Connection, needed: ImageCommands, paths: HostPaths) -> Image:
    """Ask whether the host has an image.

    Args:
        connection: The host.
        needed: The image. For Singularity and Apptainer it is a file, compared with its recipe.
        paths: The job's paths.

    Raises:
        HostUnfitError: The engine is missing, does not run, or refuses this user.
    """
    platform, engine = needed.platform, needed.engine
    env = {"mlcr_root": paths.root}
    if platform not in CONTAINER_ENGINES:
        words = sif_arguments(needed, paths)
        reply = connection.call("mlcr_check_sif", *words, env={**env, **sif_builder(needed)})
        if not reply.ok:
            raise engine_error(connection, platform, engine, reply)
        answer, digest, version = _lines(reply.text, 3)
        identity = ImageIdentity(
            sha256=digest if _SHA256.fullmatch(digest) else "",
            engine_version=_version(version),
        )
        return Image(answer == "f", stale=answer == "stale", identity=identity)
    reply = connection.call("mlcr_print_image_platform", needed.image, *engine, env=env)
    if reply.ok:
        return parse_image(reply.text)
    message = reply.message.lower()
    if "no such image" in message or "image not known" in message:
        return Image(False)
    raise engine_error(connection, platform, engine, reply)


def parse_image(answer: str) -> Image:
    """Return the image that an engine has described."""
    about, sources, version = _lines(answer, 3)
    system, _, rest = about.partition(" ")
    name, _, digests = rest.partition(" ")
    identity = ImageIdentity(
        id=name.removeprefix("sha256:"),
        digests=tuple(digests.strip("[]").split()),
        engine_version=_version(version),
    )
    architecture = system.partition("/")[2]
    answer = answer.rstrip("\n")
    return Image(True, architecture, sources=sources, identity=identity, answer=answer)


def _lines(text: str, count: int) -> list[str]:
    """Return the first lines of an answer; those that it does not have are empty."""
    return [line.strip() for line in (*text.strip().split("\n", count), *[""] * count)][:count]


def _version(text: str) -> str:
    """Return ``4.3.1`` of ``podman version 4.3.1``."""
    return text.rpartition(" ")[2][:_MAX_VERSION]


def sif_arguments(needed: ImageCommands, paths: HostPaths) -> tuple[str, ...]:
    """Return the arguments of the functions in ``sif_images.sh``, from the cube's directory on."""
    source, count, command = "", len(needed.engine), needed.engine
    if needed.configure:
        source, count, command = needed.source, count + 1, needed.configure[0][:-2]
    return (paths.cube, paths.workspace, needed.image, source, str(count), *command)


def sif_builder(needed: ImageCommands) -> dict[str, str]:
    """Return the variable with which those functions build an image elsewhere, if so."""
    return {"mlcr_builder": quote_words(needed.builder)} if needed.builder else {}


def require_architecture(
    connection: Connection, facts: HostFacts, image: Image, name: str
) -> str | None:
    """Refuse an image built for another machine, unless the host emulates that machine.

    Returns:
        A warning if the image will be emulated.

    Raises:
        HostUnfitError: The host cannot run the image.
    """
    if not image.architecture or image.architecture == facts.architecture:
        return None
    emulated = {"arm64": "aarch64", "amd64": "x86_64", "386": "i386"}.get(
        image.architecture, image.architecture
    )
    binfmt = f"/proc/sys/fs/binfmt_misc/qemu-{emulated}"
    if read_kind(connection, binfmt) == "f":
        return (
            f"image {name} is for {image.architecture}, the host is {facts.architecture}: "
            "it runs emulated, which is slow"
        )
    raise HostUnfitError(
        connection.name,
        f"image {name} is for {image.architecture}, the host is {facts.architecture}",
        hint="build or pull the image for the host's architecture "
        "(if the cube has a Dockerfile, mlcube-remote configure builds it on the host)",
    )
