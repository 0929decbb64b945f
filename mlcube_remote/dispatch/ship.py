# SPDX-License-Identifier: Apache-2.0
"""Send the image of another host to the host of a job, instead of building it there again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import attrs

from mlcube_remote.commands.model import Argv
from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.dispatch.image_sources import image_of, is_same, turn
from mlcube_remote.dispatch.output_tail import MAX_LINES, OutputTail
from mlcube_remote.dispatch.saved_images import SavedImage, staging_name
from mlcube_remote.dispatch.whole_transfers import names_incomplete
from mlcube_remote.errors import (
    ConfigureError,
    HostError,
    MLCubeRemoteError,
    StateUnknownError,
)
from mlcube_remote.events.model import Stage
from mlcube_remote.facts.images import Image, find_image, require_architecture, sif_arguments
from mlcube_remote.facts.probe import HostFacts
from mlcube_remote.facts.shipped_images import count_layers, image_content, open_staging
from mlcube_remote.files.image_files import ImageFile
from mlcube_remote.files.upload import UploadTree
from mlcube_remote.files.upload_tries import UploadTries
from mlcube_remote.formatting import readable_size
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan.job_plan import JobPlan
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.remote import status
from mlcube_remote.runs.ids import slug
from mlcube_remote.runs.locks import exclusive
from mlcube_remote.transport.base import Connection

_SLOWEST_LOAD = 2_000_000
"""Bytes per second of an engine that is not considered stuck."""
_SHORTEST_LIMIT_S = 900


def ship_image(
    job: JobContext, plan: JobPlan, facts: HostFacts, image: Image, source: Host
) -> Image:
    """Bring the image of another host, unless the host of the job has it.

    Args:
        job: The job.
        plan: Its plan.
        facts: Its host.
        image: What its host has.
        source: The host that pulls or builds the image.

    Returns:
        The image as the host has it now.

    Raises:
        ConfigureError: The source has no image, or the host's engine does not take it.
        HostUnfitError: It is for another architecture.
        TransferError: It did not arrive.
    """
    with job.events.stage(Stage.CONFIGURE) as notes:
        job.events.progress(Stage.CONFIGURE, f"waiting for the image of {source.name}")
        saved = image_of(job, plan.spec, source)
        if source.name == job.host:
            notes.detail = "image prepared for all hosts"
            return saved.image
        warning = job.connection.retrying(
            lambda at: require_architecture(at, facts, saved.image, plan.image.image)
        )
        if warning:
            job.warn(warning)
        receiver = _Receiver(job=job, plan=plan, saved=saved)
        if receiver.has(image):
            notes.skipped, notes.detail = True, f"image present, the same as on {source.name}"
            return image
        notes.detail = receiver.receive()
        return receiver.find()


@attrs.frozen(kw_only=True)
class _Receiver:
    """One host that gets the image."""

    job: JobContext
    plan: JobPlan
    saved: SavedImage

    @property
    def is_engine(self) -> bool:
        return self.plan.image.platform in CONTAINER_ENGINES

    @property
    def origin(self) -> str:
        """What an image file that was converted from an archive is remembered by."""
        return self.saved.image.identity.id

    @property
    def _place(self) -> str:
        """Name of the directory on the host."""
        return staging_name(self.saved.digest, self.job.host)

    def has(self, image: Image) -> bool:
        """Return whether the host has the image of the source."""
        if is_same(self.saved, image):
            return True
        if not image.present or not self.saved.is_archive:
            return False
        if not self.is_engine:
            words = (self.plan.paths.root, self.plan.image.image)
            reply = self.job.connection.retrying(lambda at: at.call("mlcr_print_origin", *words))
            sha256 = image.identity.sha256
            return bool(sha256) and reply.text.strip() == f"{self.origin} {sha256}"
        with turn(self.saved.guard, self.job):
            theirs = self.saved.content()
        needed = self.plan.image
        mine = self.job.connection.retrying(
            lambda at: image_content(at, needed.image, needed.engine)
        )
        return bool(theirs.layers) and theirs.text == mine.text

    def find(self) -> Image:
        """Return the image that the host has now, which is that of the source.

        Raises:
            ConfigureError: It is another one.
        """
        plan = self.plan
        image = self.job.connection.retrying(lambda at: find_image(at, plan.image, plan.paths))
        if image.present and self.saved.is_archive and not self.is_engine:
            words = (plan.paths.root, plan.image.image, f"{self.origin} {image.identity.sha256}")
            self.job.connection.retrying(lambda at: at.call("mlcr_note_origin", *words))
            return image
        if not self.has(image):
            raise ConfigureError(
                self.job.host,
                f"the image {plan.image.image} is not that of {self.saved.name} after it was sent: "
                f"{_digest(image)} instead of {_digest(self.saved.image)}",
                hint="another program may have replaced it meanwhile: run it again",
            )
        return image

    def receive(self) -> str:
        """Send the image, and return what was sent."""
        job = self.job
        lock = slug(job.host, of=f"image {self._place}")
        with exclusive(lock, lambda: job.info("waiting: another client is sending this image")):
            if self.has(job.connection.retrying(self._find)):
                return "image present, another client has sent it"
            return self._send()

    def _find(self, connection: Connection) -> Image:
        return find_image(connection, self.plan.image, self.plan.paths)

    def _send(self) -> str:
        omitted = 0
        if self.is_engine:
            with turn(self.saved.guard, self.job):
                layers = self.saved.content().layers
            engine = self.plan.image.engine
            omitted = self.job.connection.retrying(lambda at: count_layers(at, layers, engine))
        try:
            file = self._send_without(omitted)
        except ConfigureError as problem:
            if not omitted:
                raise
            self.job.debug(f"{problem.reason}; sending all layers")
            file = self._send_without(0)
        noun = "layer" if file.omitted == 1 else "layers"
        less = f", without {file.omitted} {noun} that it has" if file.omitted else ""
        return f"image from {self.saved.name}, {readable_size(file.size)} sent{less}"

    def _send_without(self, omitted: int) -> ImageFile:
        """Send the image without some layers, and let the engine take it."""
        job, plan = self.job, self.plan
        with turn(self.saved.guard, job):
            file = self.saved.file(omitted)
            unpacked = self.saved.content().size if self.saved.is_archive else file.size
        root, name = plan.paths.root, self._place
        if plan.spec.host.is_local:
            self._take(file, file.path, unpacked)
            return file
        folder = job.connection.retrying(
            lambda at: open_staging(
                at,
                root,
                name,
                plan.image.engine,
                arrives=file.size,
                unpacked=0 if file.omitted else unpacked,
            )
        )
        target = f"{folder}/{Path(file.path).name}"
        tree = UploadTree(local=Path(file.path), remote=target)
        with self._staged(root, name):
            _upload(job, tree)
            job.events.progress(Stage.CONFIGURE, "the engine reads the image")
            self._take(file, target, unpacked)
        return file

    @contextmanager
    def _staged(self, root: str, name: str) -> Iterator[None]:
        """Remove what has arrived at the end of the block.

        If the connection is lost, it stays: the next transfer continues with it.
        """
        try:
            yield
        except StateUnknownError:
            raise
        except MLCubeRemoteError:
            with suppress(HostError):
                self.job.connection.current.call("mlcr_close_staging", root, name)
            raise
        self.job.connection.retrying(lambda at: at.call("mlcr_close_staging", root, name))

    def _take(self, file: ImageFile, path: str, unpacked: int) -> None:
        """Let the host's engine take the file that has arrived.

        Raises:
            ConfigureError: It does not, or takes too long.
        """
        limit = max(_SHORTEST_LIMIT_S, unpacked // _SLOWEST_LOAD)
        call = _install_call(self.plan, self.saved, file, path, limit)
        self.job.connection.retrying(lambda at: _run(at, call, limit, self.plan.image.engine))


def _upload(job: JobContext, tree: UploadTree) -> None:
    """Send an image file.

    Raises:
        TransferError: It did not arrive.
    """
    tries = UploadTries(tree, partial(job.events.progress, Stage.CONFIGURE))

    def send_rest(connection: Connection) -> None:
        # A host that cannot be reached holds up no other one: each try waits for its turn.
        with turn(job.run.images.sends, job):
            connection.expect_channel()
            tries.upload(connection)

    with names_incomplete(job, "image"):
        job.connection.retrying(send_rest, transferred=tries.moved)


def _install_call(plan: JobPlan, saved: SavedImage, file: ImageFile, path: str, limit: int) -> Argv:
    """Return the function of the shell library that takes a file with an image."""
    image, paths = plan.image, plan.paths
    if image.platform in CONTAINER_ENGINES:
        identity = saved.image.identity.id
        words = (path, file.sha256, str(limit), image.image, identity, *image.engine)
        return ("mlcr_load_image", *words)
    kind = "archive" if saved.is_archive else "sif"
    checked = "" if image.recipe is None else "yes"
    words = (path, file.sha256, kind, str(limit), checked, paths.root)
    return ("mlcr_install_sif", *words, *sif_arguments(image, paths))


def _run(connection: Connection, call: Argv, limit: int, engine: Argv) -> None:
    tail = OutputTail()
    code = connection.stream(
        "mlcr_run_while_connected", *call, sink=lambda _stream, data: tail.add(data)
    )
    if code == 0:
        return
    name = connection.name
    if code == status.TIMED_OUT:
        raise ConfigureError(
            name,
            f"{' '.join(engine)} did not load the image within {limit} s, and was stopped",
            hint=f"try the engine on {name}: {' '.join(engine)} info",
        )
    said = [line.rstrip() for line in tail.lines() if line.strip()]
    raise ConfigureError(
        name,
        f"{' '.join(engine)} could not load the image (status {code})",
        output=said[-MAX_LINES:],
    )


def _digest(image: Image) -> str:
    return image.identity.id[:12] or image.identity.sha256[:12] or "no digest"
