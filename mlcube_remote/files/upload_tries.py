# SPDX-License-Identifier: Apache-2.0
"""An upload that is tried again if the connection breaks, and how far its tries have come."""

from __future__ import annotations

import attrs

from mlcube_remote.files.transfer import UploadResult, upload, upload_size
from mlcube_remote.files.transfer_progress import ProgressSink
from mlcube_remote.files.tries import Tries
from mlcube_remote.files.upload import UploadTree
from mlcube_remote.transport.base import Connection


@attrs.define
class UploadTries:
    """The tries of one upload. Each continues with what has arrived before."""

    tree: UploadTree
    progress: ProgressSink | None = None
    """As for :func:`~mlcube_remote.files.transfer.upload`."""
    _tries: Tries = attrs.field(factory=Tries, init=False)
    _size: int | None = attrs.field(default=None, init=False)

    def upload(self, connection: Connection) -> UploadResult:
        """Try once.

        Raises:
            TransferError: The mirror is incomplete; no task may run on it.
        """
        self._tries.begin()
        return upload(connection, self.tree, progress=self.progress, sent=self._tries.note)

    def moved(self) -> int:
        """Return a number that grows as long as more of the tree arrives; see ``Tries``."""
        if self._size is None:
            self._size = upload_size(self.tree).size
        return self._tries.moved(self._size)
