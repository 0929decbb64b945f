# SPDX-License-Identifier: Apache-2.0
"""Files are held against what their host says they hold."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mlcube_remote.errors import TransferError
from mlcube_remote.files import checksums, staging
from mlcube_remote.files.checksums import find_mismatches
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import FakeConnection


def sums(*texts: str) -> Reply:
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    return Reply(0, "".join(f"{digest}\0" for digest in digests).encode(), b"")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").write_text("one")
    (tmp_path / "b\n\\x").write_text("two")
    return tmp_path


NAMES = ("a", "b\n\\x")


def test_equal_files_do_not_differ(folder: Path) -> None:
    host = FakeConnection()
    host.answer("mlcr_print_checksums", sums("one", "two"))
    assert find_mismatches(host, "/there", folder, NAMES) == ()
    assert host.calls[0].args == ("/there", "./a", "./b\n\\x")


@pytest.mark.parametrize(
    "other", [sums("one", "changed"), Reply(0, sums("one").stdout + b"\0", b"")]
)
def test_a_file_that_changed_or_cannot_be_read_there_is_named(folder: Path, other: Reply) -> None:
    host = FakeConnection()
    host.answer("mlcr_print_checksums", other)
    assert find_mismatches(host, "/there", folder, NAMES) == ("b\n\\x",)


def test_a_host_that_cannot_tell_proves_nothing(folder: Path) -> None:
    host = FakeConnection()
    host.answer("mlcr_print_checksums", Reply(127, b"", b""))
    assert find_mismatches(host, "/there", folder, NAMES) == ()


@pytest.mark.parametrize("answer", [Reply(1, b"", b"gone"), sums("one"), Reply(0, b"", b"")])
def test_an_answer_that_makes_no_sense_is_no_proof(folder: Path, answer: Reply) -> None:
    host = FakeConnection()
    host.answer("mlcr_print_checksums", answer)
    with pytest.raises(TransferError, match="cannot be verified"):
        find_mismatches(host, "/there", folder, NAMES)


def test_many_files_are_asked_about_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"f{number}" for number in range(2050)]
    long = [f"{number}{'x' * 249}" for number in range(10, 15)]
    deep = [f"{name}/{name}" for name in long]
    for name in (*names, *deep):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"./{name}")
    monkeypatch.setattr(checksums, "_BATCH_BYTES", 20_000)
    host = FakeConnection()
    host.answer("mlcr_print_checksums", lambda _folder, *asked: sums(*asked))
    assert find_mismatches(host, "/there", tmp_path, (*names[:2000], *deep * 10)) == ()
    assert [len(call.args) - 1 for call in host.calls] == [2000, 39, 11]
    assert find_mismatches(host, "/there", tmp_path, names) == ()
    assert [len(call.args) - 1 for call in host.calls[3:]] == [2000, 50]


def fail_if_waiting() -> None:
    pytest.fail("no other client is there")


def test_a_room_is_kept_until_it_is_empty(tmp_path: Path) -> None:
    with staging.staging_directory("h", tmp_path / "new", "run-1", fail_if_waiting) as room:
        (room / "half").write_text("x")
        (room / "sub").mkdir()
        assert room.stat().st_mode & 0o777 == 0o700
    with staging.staging_directory("h", tmp_path / "new", "run-1", fail_if_waiting) as again:
        assert again == room
        assert (again / "half").read_text() == "x"
        staging.empty(again)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_room_that_others_could_have_prepared_is_refused(tmp_path: Path) -> None:
    with staging.staging_directory("h", tmp_path, "run-1", fail_if_waiting) as room:
        pass
    room.mkdir(mode=0o700)
    room.chmod(0o777)
    with (
        pytest.raises(TransferError, match="can be read or written by other users"),
        staging.staging_directory("h", tmp_path, "run-1", fail_if_waiting),
    ):
        pass
    room.rmdir()
    room.symlink_to("/tmp")
    with (
        pytest.raises(TransferError, match="pull incomplete"),
        staging.staging_directory("h", tmp_path, "run-1", fail_if_waiting),
    ):
        pass


def test_only_what_came_over_the_wire_is_to_be_verified(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    room = tmp_path / "room"
    (room / "sub" / staging.PARTIAL).mkdir(parents=True)
    (room / "sub/new").write_text("y")
    (room / "sub" / staging.PARTIAL / "half").write_text("z")
    (room / "linked").hardlink_to(tmp_path / "old")
    (room / "link").symlink_to("sub/new")
    assert staging.transferred(room) == ("sub/new",)
