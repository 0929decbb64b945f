# SPDX-License-Identifier: Apache-2.0
"""An image that a host sends arrives as the host described it, or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mlcube_remote.directories import state_home
from mlcube_remote.errors import TransferError
from mlcube_remote.files.image_files import ImageFile, ImageFolder, fetch
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import RSYNC, FakeConnection

CONTENT = b"an image"
REMOTE = ImageFile(
    path="/r/images/x/image.tar.gz", size=8, sha256=hashlib.sha256(CONTENT).hexdigest()
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def host(content: bytes | None, *, link: str = "") -> FakeConnection:
    """Return a host whose rsync leaves this."""
    connection = FakeConnection("gpu01")

    def rsync(*args: str) -> Reply:
        target = Path(args[-1]) / "image.tar.gz"
        if link:
            target.symlink_to(link)
        elif content is not None:
            target.write_bytes(content)
        return Reply(0, b"   8  50%  1.00MB/s    0:00:01\n", b"")

    connection.answer(RSYNC, rsync)
    return connection


def test_an_image_arrives_and_progress_is_reported(tmp_path: Path) -> None:
    said: list[tuple[str, float | None]] = []
    connection = host(CONTENT)
    found = fetch(connection, REMOTE, tmp_path, lambda *words: said.append(words))
    assert Path(found.path).read_bytes() == CONTENT
    assert (found.size, found.sha256) == (REMOTE.size, REMOTE.sha256)
    assert [fraction for _, fraction in said] == [0.5]
    (call,) = connection.calls
    assert "--max-size=8" in call.args
    assert call.args[-2:] == (f"host:{REMOTE.path}", f"{tmp_path}/")


@pytest.mark.parametrize("content", [b"another!", b"an image, and more", None])
def test_another_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    with pytest.raises(TransferError, match="gpu01: its image"):
        fetch(host(content), REMOTE, tmp_path, lambda *_: None)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    with pytest.raises(TransferError, match="did not arrive"):
        fetch(host(None, link=str(tmp_path / "secret")), REMOTE, tmp_path, lambda *_: None)


def test_an_image_that_does_not_fit_is_not_sent(tmp_path: Path) -> None:
    about = os.statvfs(tmp_path)
    huge = ImageFile(path=REMOTE.path, size=about.f_bavail * about.f_frsize, sha256="")
    connection = host(CONTENT)
    with pytest.raises(TransferError, match=r"needs .* on this machine"):
        fetch(connection, huge, tmp_path, lambda *_: None)
    assert connection.calls == []


def test_the_folder_of_a_run_is_private_and_goes_with_it() -> None:
    folder = ImageFolder.open()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.path / "image").touch()
    folder.close()
    assert not folder.path.exists()


def test_what_a_killed_client_left_goes_after_a_day() -> None:
    running = ImageFolder.open()
    top = state_home() / "images"
    for name in ("run-dead", "run-recent"):
        (top / name).mkdir()
    for old in (running.path, top / "run-dead"):
        os.utime(old, (1, 1))
    ImageFolder.open().close()
    assert {path.name for path in top.iterdir()} == {running.path.name, "run-recent"}
    running.close()
