# SPDX-License-Identifier: Apache-2.0
"""An upload that is tried again if the connection breaks, and how far its tries have come."""

from __future__ import annotations

import attrs

from mlcube_remote.files.transfer import UploadResult, upload, upload_size
from mlcube_remote.files.transfer_progress import ProgressSink
from mlcube_remote.files.upload import UploadTree
from mlcube_remote.transport.base import Connection


@attrs.define
class UploadTries:
    """The tries of one upload. Each continues with what has arrived before."""

    tree: UploadTree
    progress: ProgressSink | None = None
    """As for :func:`~mlcube_remote.files.transfer.upload`."""
    _earlier: int = attrs.field(default=0, init=False)
    """Bytes that the earlier tries have sent."""
    _current: int = attrs.field(default=0, init=False)
    _size: int | None = attrs.field(default=None, init=False)

    def upload(self, connection: Connection) -> UploadResult:
        """Try once.

        Raises:
            TransferError: The mirror is incomplete; no task may run on it.
        """
        self._earlier, self._current = self._earlier + self._current, 0
        return upload(connection, self.tree, progress=self.progress, sent=self._note)

    def _note(self, sent: int) -> None:
        self._current = max(self._current, sent)

    def sent_bytes(self) -> int:
        """Return how much all tries have sent, at most the size of the tree.

        A host that keeps nothing gets the same bytes again and again; more than the tree is no
        progress.
        """
        if self._size is None:
            self._size = upload_size(self.tree).size
        return min(self._earlier + self._current, self._size)
