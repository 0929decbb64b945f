# SPDX-License-Identifier: Apache-2.0
"""Transfers that are tried again until all has arrived, also if the connection breaks often."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.errors import StalledError, TransferError
from mlcube_remote.events.model import Stage
from mlcube_remote.files.transfer import UploadResult
from mlcube_remote.files.upload import UploadTree
from mlcube_remote.files.upload_tries import UploadTries


def upload_whole(job: JobContext, tree: UploadTree) -> UploadResult:
    """Upload one tree, also if the connection breaks, as long as more of it is sent.

    Raises:
        TransferError: It is incomplete.
    """
    tries = UploadTries(tree, partial(job.events.progress, Stage.SYNC))
    with names_incomplete(job, "sync"):
        return job.connection.retrying(tries.upload, transferred=tries.moved)


@contextmanager
def names_incomplete(job: JobContext, what: str) -> Iterator[None]:
    """Say what is incomplete if the connection breaks too often during the block.

    Raises:
        TransferError: It did.
    """
    try:
        yield
    except StalledError as problem:
        raise TransferError(
            job.connection.name,
            f"{what} incomplete: {problem.reason}",
            hint="check the network, and run it again: what has arrived is not sent twice",
        ) from problem
