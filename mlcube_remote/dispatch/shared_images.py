# SPDX-License-Identifier: Apache-2.0
"""The images that hosts of a run get from other hosts, as far as they are prepared."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import attrs

from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.inventory.model import Host

if TYPE_CHECKING:
    from mlcube_remote.dispatch.saved_images import SavedImage

MAX_SENDS = 4
"""Number of hosts that an image is sent to at the same time: all share this machine's uplink, and
the first ones can start sooner."""


@attrs.define
class ImageSource:
    """One host that prepares the image, and how far it is."""

    host: Host
    turn: threading.Lock = attrs.field(factory=threading.Lock)
    """Held while it prepares the image."""
    image: SavedImage | None = None
    problem: MLCubeRemoteError | None = None
    """Why there will be no image."""


@attrs.define
class SharedImages:
    """All sources of a run."""

    sends: threading.BoundedSemaphore = attrs.field(
        factory=partial(threading.BoundedSemaphore, MAX_SENDS), init=False
    )
    """Held while an image is sent."""
    opened: ExitStack = attrs.field(factory=ExitStack, init=False)
    """Connections to the sources, and the files of the images."""
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _sources: dict[str, ImageSource] = attrs.field(factory=dict, init=False)

    def of(self, host: Host) -> ImageSource:
        """Return a source."""
        with self._guard:
            return self._sources.setdefault(host.name, ImageSource(host))

    def close(self) -> None:
        """Close the connections to the sources, and remove the files of the images."""
        self.opened.close()
