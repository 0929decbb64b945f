# SPDX-License-Identifier: Apache-2.0
"""Paths on the host: prepared for tasks, written in pieces, compared by checksum."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tests.support.shell_library import (
    Call,
)

NAMES = [
    "plain",
    "-n",
    "-",
    "with space",
    "back\\slash",
    "ä",
    os.fsdecode(b"\xff"),
    "$(id)",
    "deep/er",
    "new\nline",
]


def test_checksums_do_not_depend_on_file_names(call: Call, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in NAMES:
        (tmp_path / name).write_bytes(os.fsencode(name))
    # Only a name with a line break, or a file that cannot be read, needs a process for each file.
    for names in (NAMES, NAMES[:-1]):
        asked = [f"./{name}" for name in names]
        for extra in ([], ["./missing"]):
            done = call("mlcr_print_checksums", str(tmp_path), *asked, *extra)
            report = done.stdout.decode().split("\0")[:-1]
            expected = [hashlib.sha256(os.fsencode(name)).hexdigest() for name in names]
            assert report == expected + [""] * len(extra)


@pytest.mark.parametrize("program", ["openssl", "sha256sum"])
def test_one_process_computes_the_checksums_of_many_files(
    call: Call, tmp_path: Path, program: str
) -> None:
    names = [f"./{number} \\ \r *" for number in range(50)]
    for name in names:
        (tmp_path / name).write_text(name)
    log, folder = tmp_path / "log", tmp_path / "bin"
    folder.mkdir()
    real = shutil.which(program)
    (folder / "openssl").write_text("#!/bin/sh\nexit 1\n")  # its configuration may be broken
    (folder / program).write_text(f'#!/bin/sh\necho "$#" >>{log}\nexec {real} "$@"\n')
    for each in folder.iterdir():
        each.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    done = call("mlcr_print_checksums", str(tmp_path), *names, PATH=path)
    expected = [hashlib.sha256(name.encode()).hexdigest() for name in names]
    assert done.stdout.decode().split("\0")[:-1] == expected
    assert log.read_text() == {"openssl": "53\n", "sha256sum": "50\n"}[program]


def test_checksums_of_a_missing_folder_fail(call: Call, tmp_path: Path) -> None:
    assert call("mlcr_print_checksums", str(tmp_path / "none"), "x").returncode == 1


def test_without_a_checksum_program_the_status_is_no_program(call: Call, tmp_path: Path) -> None:
    assert call("mlcr_print_checksums", str(tmp_path), "x", PATH=str(tmp_path)).returncode == 127


def test_a_file_is_written_in_pieces(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "a b" / "c"
    assert call("mlcr_write_file", str(file), "replace", "one\n").returncode == 0
    assert call("mlcr_write_file", str(file), "append", "-n %s").returncode == 0
    assert file.read_text() == "one\n-n %s"
    assert file.parent.stat().st_mode & 0o777 == 0o755, "a container's user may read it"
    assert call("mlcr_write_file", str(file), "replace", "").returncode == 0
    assert file.read_text() == ""


def test_directories_are_created_and_inputs_copied_once(call: Call, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("new")
    target = tmp_path / "deep" / "target"
    area = (str(tmp_path), "")
    made = str(tmp_path / "-made here")
    arguments = ("1", "required", *area, str(tmp_path / "source"), *area, str(target), *area, made)
    assert call("mlcr_prepare_paths", *arguments).returncode == 0
    assert target.read_text() == "new"
    assert (tmp_path / "-made here").stat().st_mode & 0o777 == 0o755
    target.write_text("mine")
    assert call("mlcr_prepare_paths", *arguments).returncode == 0
    assert target.read_text() == "mine"


@pytest.mark.parametrize(("need", "code"), [("required", 1), ("optional", 0)])
def test_a_copy_of_what_does_not_exist(call: Call, tmp_path: Path, need: str, code: int) -> None:
    area = (str(tmp_path), "")
    target = tmp_path / "own/target"
    source = str(tmp_path / "absent/source")
    done = call("mlcr_prepare_paths", "1", need, *area, source, *area, str(target))
    assert (done.returncode, target.exists()) == (code, False)


def test_an_interrupted_copy_is_repeated(call: Call, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "first").write_text("1")
    target = tmp_path / "own" / "target"
    (tmp_path / "bin").mkdir()
    broken = tmp_path / "bin" / "cp"
    broken.write_text('#!/bin/sh\nfor last; do :; done\nmkdir "$last"\nexit 1\n')
    broken.chmod(0o755)
    arguments = ("1", "required", str(tmp_path), "", str(source), str(tmp_path), "", str(target))

    failed = call("mlcr_prepare_paths", *arguments, PATH=f"{broken.parent}:{os.environ['PATH']}")
    assert failed.returncode == 1
    assert list(target.parent.iterdir()) == []

    assert call("mlcr_prepare_paths", *arguments).returncode == 0
    assert (target / "first").read_text() == "1"


@pytest.mark.parametrize("path", ["tree", "tree/file"], ids=["directory", "file"])
def test_partial_files_of_an_interrupted_upload_are_deleted(
    call: Call, tmp_path: Path, path: str
) -> None:
    tree = tmp_path / "tree"
    for folder in (tree / ".part", tree / "deep er" / ".part"):
        folder.mkdir(parents=True)
        (folder / "half").write_text("half")
    (tree / "file").write_text("complete")
    free = call("mlcr_remove_partial_files", str(tmp_path / path), ".part")
    assert int(free.stdout) > 0, free.stderr
    assert sorted(each.name for each in tree.rglob("*")) == ["deep er", "file"]
