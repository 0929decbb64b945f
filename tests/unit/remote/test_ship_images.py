# SPDX-License-Identifier: Apache-2.0
"""Images that are saved on one host and taken by the engine of another."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from mlcube_remote.remote import status
from tests.support.shell_library import Call, Completed
from tests.support.sif_cube import Cube, cube

__all__ = ["cube"]

ENGINE = r"""#!/bin/sh
# An engine: its images are lines "ID LAYER LAYER ... " in a file, its names are files.
here=${0%/*}
case "$*" in
info*DriverStatus*) cat "$here/store" 2>/dev/null ;;
info*) exit 1 ;;
'image ls'*) cut -d ' ' -f 1 "$here/images" ;;
*RootFS*) cut -d ' ' -f 2- "$here/images" ;;
'image inspect'*' -- x:1') cat "$here/x:1" 2>/dev/null ;;
'image inspect'*) grep -q "^${*##* } " "$here/images" ;;
save*) if [ -e "$here/broken" ]; then echo 'no image' >&2; exit 1; else cat "$here/archive"; fi ;;
load) [ ! -e "$here/stuck" ] || sleep 60; cat >"$here/loaded" ;;
tag*) echo "sha256:$2" >"$here/$3" ;;
esac
"""


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(ENGINE)
    (folder / "docker").chmod(0o755)
    (folder / "archive").write_bytes(b"archive")
    (folder / "images").write_text("1 a b c \n2 a x c \n")
    (folder / "store").write_text("[[Backing Filesystem extfs]]\n")
    (tmp_path / "root").mkdir(mode=0o700)
    return folder / "docker"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("a b c d ", 3), ("a x ", 2), ("a y c ", 1), ("b a ", 0), ("ab ", 0), ("", 0)],
)
def test_layers_are_counted_from_the_lowest_one_on(
    call: Call, docker: Path, wanted: str, expected: int
) -> None:
    done = call("mlcr_count_layers", wanted, str(docker))
    assert done.stdout.decode().strip() == str(expected)


@pytest.mark.parametrize("store", ["", "[[driver-type io.containerd.snapshotter.v1]]"])
def test_other_stores_get_all_layers(call: Call, docker: Path, store: str) -> None:
    (docker.parent / "store").write_text(store)
    assert call("mlcr_count_layers", "a b ", str(docker)).stdout.strip() == b"0"


def test_an_image_is_saved_into_a_private_directory(
    call: Call, docker: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    done = call("mlcr_save_image", str(root), "ship-1", "0", "x:1", str(docker))
    assert done.returncode == 0, done.stderr
    path, size, digest, omitted = done.stdout.decode().splitlines()
    content = Path(path).read_bytes()
    assert gzip.decompress(content) == b"archive"
    assert omitted == "0"
    assert (int(size), digest) == (len(content), hashlib.sha256(content).hexdigest())
    assert Path(path).parent == root / "images/ship-1"
    assert Path(path).parent.stat().st_mode & 0o777 == 0o700
    assert Path(path).stat().st_mode & 0o777 == 0o600


def write_archive(path: Path, layers: Sequence[str]) -> None:
    with tarfile.open(path, "w") as archive:
        contents = {name: name.encode() for name in layers}
        listed = json.dumps([{"Config": "c", "Layers": layers}], separators=(",", ":"))
        for name, content in {**contents, "manifest.json": listed.encode()}.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))


@pytest.mark.parametrize(
    ("layers", "asked", "omitted", "left"),
    [
        (["a/l", "b/l"], 1, "1", {"b/l"}),
        (["a/l", "b/l"], 2, "2", set()),
        (["a/l", "b/l", "a/l"], 2, "2", {"a/l"}),
        (["a/l", "a/l", "b/l"], 2, "2", {"b/l"}),
        (["a/$(l)", "b/l"], 1, "0", {"a/$(l)", "b/l"}),
        ([], 1, "0", set()),
    ],
)
def test_layers_are_left_out(
    call: Call,
    docker: Path,
    tmp_path: Path,
    layers: list[str],
    asked: int,
    omitted: str,
    left: set[str],
) -> None:
    write_archive(docker.parent / "archive", layers)
    root = str(tmp_path / "root")
    done = call("mlcr_save_image", root, "ship-1", str(asked), "x:1", str(docker))
    assert done.returncode == 0, done.stderr
    path, *_, found = done.stdout.decode().splitlines()
    assert found == omitted
    with tarfile.open(path) as archive:
        assert {member.name for member in archive} == {"manifest.json", *left}


def test_half_an_image_does_not_stay(call: Call, docker: Path, tmp_path: Path) -> None:
    (docker.parent / "broken").touch()
    done = call("mlcr_save_image", str(tmp_path / "root"), "ship-1", "0", "x:1", str(docker))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no image" in done.stderr
    assert list((tmp_path / "root/images").iterdir()) == []


def load(call: Call, docker: Path, folder: Path, *, limit: int = 30, digest: str = "") -> Completed:
    archive = folder / "image.tar.gz"
    archive.write_bytes(gzip.compress(b"archive"))
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    words = (str(archive), digest or right, str(limit), "x:1", "2", str(docker))
    return call("mlcr_load_image", *words)


def test_an_image_is_loaded_and_gets_its_name(call: Call, docker: Path, tmp_path: Path) -> None:
    done = load(call, docker, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (docker.parent / "loaded").read_bytes() == b"archive"
    assert (docker.parent / "x:1").read_text() == "sha256:2\n"


def test_a_name_that_is_right_is_left_alone(call: Call, docker: Path, tmp_path: Path) -> None:
    (docker.parent / "x:1").write_text("sha256:2\n")
    (docker.parent / "x:1").chmod(0o444)
    assert load(call, docker, tmp_path).returncode == 0


def test_another_file_is_not_loaded(call: Call, docker: Path, tmp_path: Path) -> None:
    done = load(call, docker, tmp_path, digest="0" * 64)
    assert done.returncode == 1
    assert b"is not what was sent" in done.stderr
    assert not (docker.parent / "loaded").exists()


def test_an_engine_that_is_stuck_is_ended(call: Call, docker: Path, tmp_path: Path) -> None:
    (docker.parent / "stuck").touch()
    assert load(call, docker, tmp_path, limit=1).returncode == status.TIMED_OUT


def test_a_directory_for_an_image_must_be_private(call: Call, docker: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "images").mkdir()
    (root / "images/ship-1").symlink_to(tmp_path)
    done = call("mlcr_open_staging", str(root), "ship-1", str(docker))
    assert done.returncode == 1
    assert b"symbolic link" in done.stderr
    done = call("mlcr_open_staging", str(root), "ship-2", str(docker))
    path, free, store = done.stdout.decode().splitlines()
    assert (path, store) == (f"{root}/images/ship-2", "-")
    assert int(free) > 0
    call("mlcr_close_staging", str(root), "ship-2")
    assert not Path(path).exists()


def install(cube: Cube, file: Path, kind: str) -> Completed:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    root = str(cube.root.parent / "root")
    words = (str(file), digest, kind, "30", "", root, *cube.words())
    return cube.call("mlcr_install_sif", *words, ENGINE_LOG=str(cube.log))


def test_a_sent_image_file_replaces_a_built_one_and_fits_its_recipe(cube: Cube) -> None:
    cube.build()
    sent = cube.root.parent / "sent.sif"
    sent.write_text("sent")
    done = install(cube, sent, "sif")
    assert done.returncode == 0, done.stderr
    assert (cube.image.read_text(), cube.builds(), cube.state()) == ("sent", 1, "f")
    assert cube.left() == {cube.image.name, f".{cube.image.name}.recipe"}


def test_an_archive_is_converted(cube: Cube) -> None:
    converted = attrs.evolve(cube, source="docker://x:1")
    sent = cube.root.parent / "image.tar.gz"
    sent.write_bytes(gzip.compress(b"archive"))
    done = install(converted, sent, "archive")
    assert done.returncode == 0, done.stderr
    assert "docker-archive:.image.tar" in converted.image.read_text()
    assert converted.state() == "f"
    assert cube.left() == {cube.image.name, f".{cube.image.name}.recipe"}


def test_an_image_of_the_user_is_not_replaced(cube: Cube) -> None:
    cube.image.parent.mkdir()
    cube.image.write_text("mine")
    sent = cube.root.parent / "sent.sif"
    sent.write_text("sent")
    done = install(cube, sent, "sif")
    assert done.returncode == 1
    assert b"it is not replaced" in done.stderr
    assert cube.image.read_text() == "mine"


def test_where_an_image_file_came_from_is_remembered(call: Call, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir(mode=0o700)
    image = "/r/it's $(an image).sif"
    assert call("mlcr_print_origin", str(root), image).stdout == b""
    call("mlcr_note_origin", str(root), image, "id digest")
    assert call("mlcr_print_origin", str(root), image).stdout == b"id digest"


def test_images_of_interrupted_transfers_go_after_a_day(call: Call, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("ship-old", "ship-new"):
        (root / "images" / name).mkdir(parents=True)
    (root / "jobs").mkdir()
    (root / "images/origin-1").touch()
    for old in ("ship-old", "origin-1"):
        os.utime(root / "images" / old, (1, 1))
    assert call("mlcr_remove_leftovers", str(root)).returncode == 0
    assert sorted(path.name for path in (root / "images").iterdir()) == ["origin-1", "ship-new"]
