# SPDX-License-Identifier: Apache-2.0
"""What decides whether an image must travel to a host, and whether it fits there."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from mlcube_remote.budgets import parse_whole
from mlcube_remote.commands.model import Argv
from mlcube_remote.errors import HostError, TransferError
from mlcube_remote.files.free_space import RESERVE
from mlcube_remote.formatting import readable_size
from mlcube_remote.transport.base import Connection

_LAYER = re.compile(r"sha256:[0-9a-f]{64}")


@attrs.frozen
class ImageContent:
    """The layers and the configuration of an engine's image."""

    text: str
    """Equal for equal images, also if their ids differ."""
    layers: tuple[str, ...] = ()
    """Digests, the lowest layer first."""
    size: int = 0
    """Unpacked, in bytes; 0: not known."""


def image_content(connection: Connection, name: str, engine: Argv) -> ImageContent:
    """Ask for the content of an image; an engine that does not know it says nothing about it.

    Raises:
        HostError: The connection is lost.
    """
    reply = connection.call("mlcr_print_image_content", name, *engine)
    if not reply.ok:
        return ImageContent("")
    text, _, size = reply.text.strip().rpartition("\n")
    try:
        return ImageContent(text, tuple(_LAYER.findall(text.split("\n")[0])), parse_whole(size))
    except ValueError:
        return ImageContent("")


def count_layers(connection: Connection, layers: Sequence[str], engine: Argv) -> int:
    """Return how many of the first layers a host need not get.

    Raises:
        HostError: The connection is lost.
    """
    wanted = "".join(f"{layer} " for layer in layers)
    reply = connection.call("mlcr_count_layers", wanted, *engine)
    try:
        return max(0, min(parse_whole(reply.text.strip()), len(layers)))
    except ValueError:
        return 0  # everything is sent


def open_staging(
    connection: Connection, root: str, name: str, engine: Argv, *, arrives: int, unpacked: int
) -> str:
    """Create a private directory for an image on its way, and return its path.

    Args:
        connection: The host.
        root: The absolute path of ``remote_root``.
        name: Name of the directory.
        engine: The engine that will have the image.
        arrives: Bytes that will be written into the directory.
        unpacked: Bytes that the engine will write into its store.

    Raises:
        TransferError: The host has not enough space.
        HostError: The directory cannot be created.
    """
    reply = connection.call("mlcr_open_staging", root, name, *engine)
    lines = reply.text.splitlines()
    if not reply.ok or len(lines) != 3:
        raise HostError(connection.name, f"{root}/images cannot be used: {reply.message}")
    path = lines[0]
    for free, needed, where in ((lines[1], arrives, path), (lines[2], unpacked, "its engine")):
        try:
            available = parse_whole(free) * 1024
        except ValueError:
            continue  # the host does not say
        if available < needed + RESERVE:
            connection.call("mlcr_close_staging", root, name)
            raise TransferError(
                connection.name,
                f"the image needs {readable_size(needed)} in {where}, and "
                f"{readable_size(available)} are free",
                hint="free some space on the host, or set another remote_root",
            )
    return path
