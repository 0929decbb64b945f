# SPDX-License-Identifier: Apache-2.0
"""The image of a source as files: saved there, and brought to this machine, each once."""

from __future__ import annotations

import contextlib
import shutil
import threading
from functools import partial
from pathlib import Path

import attrs

from mlcube_remote.budgets import parse_whole
from mlcube_remote.directories import state_home
from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.dispatch.whole_transfers import names_incomplete
from mlcube_remote.errors import ConfigureError, HostError
from mlcube_remote.events.model import Stage
from mlcube_remote.facts.images import Image
from mlcube_remote.facts.shipped_images import ImageContent, image_content
from mlcube_remote.files.image_files import ImageFile, ImageFolder, fetch
from mlcube_remote.files.tries import Tries
from mlcube_remote.plan.job_plan import JobPlan
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.runs.ids import client_name, slug
from mlcube_remote.runs.locks import exclusive
from mlcube_remote.transport.base import Connection, Stream


@attrs.define(kw_only=True)
class SavedImage:
    """The image of a source, with the connection to the source."""

    job: JobContext
    """The source's connection and events."""
    plan: JobPlan
    image: Image
    guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    """Held by the caller of :meth:`file` and :meth:`content`."""
    _folder: ImageFolder | None = attrs.field(default=None, init=False)
    _content: ImageContent | None = attrs.field(default=None, init=False)
    _files: dict[int, ImageFile] = attrs.field(factory=dict, init=False)
    """Number of omitted layers → file on this machine."""

    @property
    def name(self) -> str:
        """Name of the host that prepared the image."""
        return self.job.host

    @property
    def is_archive(self) -> bool:
        """Whether its file is an archive of an engine, and not a SIF file."""
        return self.plan.image.platform in CONTAINER_ENGINES

    @property
    def digest(self) -> str:
        """The image's digest; its name if the source says none."""
        identity = self.image.identity
        return identity.id or identity.sha256 or self.plan.image.image

    def content(self) -> ImageContent:
        """Return the layers and the configuration of an engine's image.

        Raises:
            HostError: The source does not answer.
        """
        if self._content is None:
            image = self.plan.image
            self._content = self.job.connection.retrying(
                lambda at: image_content(at, image.image, image.engine)
            )
        return self._content

    def file(self, omitted: int = 0) -> ImageFile:
        """Return the image as a file on this machine, without some of its first layers.

        If the source cannot leave them out, the file has all layers.

        Raises:
            ConfigureError: The source could not save it.
            TransferError: It did not arrive here.
        """
        if omitted not in self._files:
            with self.job.interruptible():
                file = self._bring(omitted)
            self._files[omitted] = self._files[file.omitted] = file
        return self._files[omitted]

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.close()

    def _bring(self, omitted: int) -> ImageFile:
        source, image = self.plan.spec.host, self.plan.image
        events, connection = self.job.events, self.job.connection
        if not self.is_archive:
            remote = connection.retrying(
                lambda at: _described(at, ("mlcr_describe_file", image.image))
            )
            return remote if source.is_local else self._fetch(remote)
        events.progress(Stage.CONFIGURE, "saving the image")
        words = (self.plan.paths.root, self._place, str(omitted), image.image, *image.engine)
        lock = slug(self.name, of=f"saved image {self._place}")
        with exclusive(lock, lambda: self.job.info("waiting: another client is saving this image")):
            try:
                saved = connection.retrying(lambda at: _described(at, ("mlcr_save_image", *words)))
                if not source.is_local:
                    return self._fetch(saved)
                target = shutil.move(saved.path, self._open_folder())
                return attrs.evolve(saved, path=str(target))
            finally:
                with contextlib.suppress(HostError):  # what is left, "clean" removes
                    connection.current.call("mlcr_close_staging", words[0], self._place)

    def _fetch(self, remote: ImageFile) -> ImageFile:
        folder, tries = self._open_folder(), Tries()
        progress = partial(self.job.events.progress, Stage.SYNC)
        self.job.connection.current.expect_channel()

        def fetch_rest(connection: Connection) -> ImageFile:
            tries.begin()
            return fetch(connection, remote, folder, progress, tries.note)

        with names_incomplete(self.job, "image"):
            return self.job.connection.retrying(
                fetch_rest, transferred=lambda: tries.moved(remote.size)
            )

    @property
    def _place(self) -> str:
        """Name of the directory on the source."""
        return f"{staging_name(self.digest, self.name)}-saved"

    def _open_folder(self) -> Path:
        if self._folder is None:
            self._folder = ImageFolder.open()
        return self._folder.path


def staging_name(digest: str, host: str) -> str:
    """Return the name of this client's directory for an image on a host.

    No other transfer writes there: hosts may share a home directory, and clients of one user may
    have separate records, where their locks are.

    Args:
        digest: Of the image, or its name.
        host: The inventory's name.
    """
    return f"ship-{slug(digest[:16], of=f'{client_name()} {state_home()} {host} {digest}')}"


def _described(connection: Connection, call: tuple[str, ...]) -> ImageFile:
    """Run a function that prints the path, the size and the digest of a file."""
    output: dict[Stream, bytearray] = {stream: bytearray() for stream in Stream}

    def keep(stream: Stream, data: bytes) -> None:
        output[stream] += data[: max(0, 65_536 - len(output[stream]))]

    code = connection.stream("mlcr_run_while_connected", *call, sink=keep)
    text = output[Stream.STDOUT].decode("utf-8", "surrogateescape")
    if code != 0:
        lines = output[Stream.STDERR].decode("utf-8", "replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), f"status {code}")
        raise ConfigureError(
            connection.name,
            f"the image could not be saved: {last.strip()}",
            hint=f"check the free space on {connection.name}: df -h",
        )
    try:
        path, size, digest, *omitted = text.splitlines()
        return ImageFile(
            path=path,
            size=parse_whole(size),
            sha256=digest,
            omitted=parse_whole(omitted[0]) if omitted else 0,
        )
    except ValueError as problem:
        raise HostError(
            connection.name, f"unexpected answer about its image ({problem})"
        ) from problem
