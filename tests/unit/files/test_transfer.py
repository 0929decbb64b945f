# SPDX-License-Identifier: Apache-2.0
"""A cube that changes while it is sent is sent again, and never left half old and half new."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcube_remote.errors import TransferError
from mlcube_remote.files.rsync import VANISHED
from mlcube_remote.files.transfer import upload
from mlcube_remote.files.upload import UploadTree
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import RSYNC, FakeConnection

STATS = b"Number of regular files transferred: %d\nTotal transferred file size: 10 bytes\n"


@pytest.fixture
def tree(tmp_path: Path) -> UploadTree:
    (tmp_path / "cube").mkdir()
    return UploadTree(local=tmp_path / "cube", remote="/there")


def sent(
    *names: bytes, code: int = 0, meanwhile: Callable[[], object] = lambda: None
) -> Callable[..., Reply]:
    """Return what rsync does that sends these files."""

    def answer(*_args: str) -> Reply:
        meanwhile()
        lines = b"".join(b"<f.st...... %s\n\r     10  99%%  1.0MB/s    0:00:00" % n for n in names)
        return Reply(code, b"sending\n" + lines + b"\n" + STATS % len(names), b"")

    return answer


def write(path: Path, text: str, *, age: float = 0) -> None:
    path.write_text(text)
    if age:
        time.sleep(age)


@pytest.mark.parametrize(
    ("name", "content"),
    [("plain", b"plain"), ("two\nlines", rb"two\#012lines"), ("a \\#012 b", rb"a \#134#012 b")],
)
def test_a_file_that_changes_is_sent_again(tree: UploadTree, name: str, content: bytes) -> None:
    write(tree.local / name, "old", age=0.05)
    host = FakeConnection()
    host.answer(
        RSYNC, sent(content, meanwhile=lambda: (tree.local / name).write_text("new")), sent()
    )
    assert upload(host, tree).moved.files == 1
    assert len(host.calls) == 2


def test_what_does_not_change_is_sent_once(tree: UploadTree) -> None:
    write(tree.local / "file", "old", age=0.05)
    (tree.local / "other").write_text("not sent")
    host = FakeConnection()
    host.answer(RSYNC, sent(b"file", meanwhile=lambda: (tree.local / "other").write_text("new")))
    assert upload(host, tree).moved.files == 1
    assert len(host.calls) == 1


def test_a_file_that_is_given_back_its_old_time_is_sent_again(tree: UploadTree) -> None:
    path = tree.local / "file"
    write(path, "old", age=0.05)
    before = path.stat()

    def change() -> None:
        path.write_text("new")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    host = FakeConnection()
    host.answer(RSYNC, sent(b"file", meanwhile=change), sent())
    upload(host, tree)
    assert len(host.calls) == 2


def test_what_vanishes_is_looked_at_again(tree: UploadTree) -> None:
    write(tree.local / "file", "x")
    host = FakeConnection()
    gone = sent(b"file", code=VANISHED, meanwhile=(tree.local / "file").unlink)
    host.answer(RSYNC, gone, sent())
    upload(host, tree)
    assert len(host.calls) == 2


def test_what_never_rests_is_named(tree: UploadTree) -> None:
    path = tree.local / "run.log"
    host = FakeConnection("gpu01")
    host.answer(RSYNC, sent(b"run.log", meanwhile=lambda: path.write_text("more")))
    with pytest.raises(
        TransferError, match=r"gpu01: sync incomplete: .*run\.log changed"
    ) as content:
        upload(host, tree)
    assert content.value.exit_code == 121
    assert ".mlcubeignore" in str(content.value.hint)
    assert len(host.calls) == 3
