# SPDX-License-Identifier: Apache-2.0
"""An archive loses the layers that a host has, and nothing else; hostile ones are refused."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from mlcube_remote.files import image_archive
from mlcube_remote.files.image_archive import UnreadableArchiveError, omit_layers


def write(path: Path, layers: list[str], links: dict[str, str] | None = None) -> None:
    with tarfile.open(path, "w:gz") as archive:
        files = {name: name.encode() for name in layers if name not in (links or {})}
        files["manifest.json"] = json.dumps([{"Config": "c.json", "Layers": layers}]).encode()
        files["c.json"] = b"{}"
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
        for name, target in (links or {}).items():
            about = tarfile.TarInfo(name)
            about.type, about.linkname = tarfile.SYMTYPE, target
            archive.addfile(about)


def names(path: Path) -> set[str]:
    with tarfile.open(path) as archive:
        return {member.name for member in archive}


@pytest.mark.parametrize(
    ("count", "left"),
    [(0, {"a/layer.tar", "b/layer.tar"}), (1, {"b/layer.tar"}), (2, set())],
)
def test_the_first_layers_are_left_out(tmp_path: Path, count: int, left: set[str]) -> None:
    write(tmp_path / "all", ["a/layer.tar", "b/layer.tar"])
    omit_layers(tmp_path / "all", tmp_path / "less", count)
    assert names(tmp_path / "less") == {"manifest.json", "c.json", *left}
    with tarfile.open(tmp_path / "less") as archive:
        for name in left:
            content = archive.extractfile(name)
            assert content is not None
            assert content.read() == name.encode()


def test_a_layer_that_is_needed_again_stays(tmp_path: Path) -> None:
    write(tmp_path / "twice", ["blobs/a", "blobs/b", "blobs/a"])
    omit_layers(tmp_path / "twice", tmp_path / "less", 2)
    assert names(tmp_path / "less") == {"manifest.json", "c.json", "blobs/a"}
    write(tmp_path / "linked", ["a/l", "b/l", "c/l"], links={"c/l": "../a/l"})
    omit_layers(tmp_path / "linked", tmp_path / "less too", 2)
    assert names(tmp_path / "less too") == {"manifest.json", "c.json", "a/l", "c/l"}


def test_the_same_archive_comes_out_each_time(tmp_path: Path) -> None:
    write(tmp_path / "all", ["a", "b"])
    for name in ("one", "two"):
        omit_layers(tmp_path / "all", tmp_path / name, 1)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def header(size: int) -> bytes:
    about = tarfile.TarInfo("x")
    about.type, about.size = tarfile.XHDTYPE, size
    return about.tobuf()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no tar",
        header(2**33),
        tarfile.TarInfo("manifest.json").tobuf() + bytes(1024),
    ],
)
def test_what_is_no_archive_of_an_engine_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad").write_bytes(gzip.compress(content))
    with pytest.raises(UnreadableArchiveError):
        omit_layers(tmp_path / "bad", tmp_path / "less", 1)


def test_what_is_not_compressed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"x" * 100)
    with pytest.raises(UnreadableArchiveError):
        omit_layers(tmp_path / "bad", tmp_path / "less", 1)


def test_an_archive_may_not_grow_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_archive, "_MIN_LIMIT", 100_000)
    about = tarfile.TarInfo("zeros")
    about.size = 50_000_000
    content = about.tobuf() + bytes(about.size) + bytes(1024)
    (tmp_path / "bomb").write_bytes(gzip.compress(content))
    with pytest.raises(UnreadableArchiveError, match="larger than"):
        omit_layers(tmp_path / "bomb", tmp_path / "less", 1)


def test_the_number_of_entries_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_archive, "_MAX_ENTRIES", 2)
    write(tmp_path / "all", ["a", "b"])
    with pytest.raises(UnreadableArchiveError, match="more than 2 entries"):
        omit_layers(tmp_path / "all", tmp_path / "less", 1)
