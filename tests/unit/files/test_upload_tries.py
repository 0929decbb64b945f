# SPDX-License-Identifier: Apache-2.0
"""How far the tries of an upload have come."""

from __future__ import annotations

from itertools import pairwise
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


@pytest.fixture
def tries(tmp_path: Path) -> UploadTries:
    (tmp_path / "data").write_bytes(b"x" * SIZE)
    return UploadTries(UploadTree(local=tmp_path, remote="/r/cube"))


def try_once(tries: UploadTries, host: Host) -> int:
    with pytest.raises(TransferError):
        tries.upload(host)
    return tries.moved()


def test_the_tries_count_together_until_the_tree_was_sent_once(tries: UploadTries) -> None:
    host = Host("gpu01")
    first = host.taken
    moved = [try_once(tries, host) for _ in range(5)]
    assert moved == [first + 100_000, first + 200_000, first + SIZE, first + SIZE, first + SIZE]


def test_a_large_file_may_need_any_number_of_tries(tries: UploadTries) -> None:
    host = Host("gpu01")
    moved = []
    for taken in range(20_000, SIZE, 20_000):
        host.taken = taken  # rsync counts what the host has kept, too
        moved.append(try_once(tries, host))
    steps = [after - before for before, after in pairwise(moved)]
    assert min(steps) >= 20_000


def test_more_than_the_tree_is_no_progress(tries: UploadTries) -> None:
    host = Host("gpu01")
    host.taken = SIZE
    assert [try_once(tries, host) for _ in range(2)] == [2 * SIZE, 2 * SIZE]
