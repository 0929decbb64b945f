# SPDX-License-Identifier: Apache-2.0
"""How far the tries of an upload have come."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.errors import TransferError
from mlcube_remote.files.upload import UploadTree
from mlcube_remote.files.upload_tries import UploadTries
from mlcube_remote.transport.base import RsyncResult
from mlcube_remote.transport.fake import FakeConnection

SIZE = 300_000


class Host(FakeConnection):
    """Takes some bytes in each try, then cuts it."""

    taken = 100_000

    def rsync(self, *_args: object, **options: object) -> RsyncResult:
        on_stdout = options["on_stdout"]
        assert callable(on_stdout)
        for sent in (1, self.taken // 2, self.taken):
            on_stdout(f"\r  {sent}  {100 * sent // SIZE}%    3.21MB/s    0:00:05".encode())
        return RsyncResult(255, b"", b"connection closed")


def test_the_tries_count_together_until_the_tree_was_sent_once(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x" * SIZE)
    tries = UploadTries(UploadTree(local=tmp_path, remote="/r/cube"))
    host = Host("gpu01")

    sent = []
    for _ in range(5):
        with pytest.raises(TransferError):
            tries.upload(host)
        sent.append(tries.sent_bytes())

    assert sent == [100_000, 200_000, SIZE, SIZE, SIZE]
