# SPDX-License-Identifier: Apache-2.0
"""What a host reports for the record of a job, and what it remembers."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tests.support.shell_library import Call, facts


def test_the_machine_is_described_from_its_files(call: Call) -> None:
    found = dict(facts(call("mlcr_report_machine")))
    assert found["kernel"] == os.uname().release
    assert found["memory"].endswith(" kB")
    assert found["cpus"][0] == "0"


def test_size_and_time_of_what_exists_are_reported(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "a b\nc"
    file.write_text("12345")
    os.utime(file, (1_795_461_442, 1_795_461_442))
    done = call("mlcr_report_stat", str(file), str(tmp_path / "nothing"), "~/a b\nc")
    assert facts(done) == [("stat", f"5 1795461442 {file}")] * 2


def engine(folder: Path, version: str) -> str:
    """Make a program "docker" that counts its calls; return the PATH."""
    folder.mkdir(exist_ok=True)
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\necho x >>"{folder}/calls"\necho {version}\n')
    program.chmod(0o755)
    # Older than everything that is written in the test.
    os.utime(program, (1, 1))
    return f"{folder}:{os.environ['PATH']}"


def test_the_version_of_an_engine_is_asked_for_once(call: Call, tmp_path: Path) -> None:
    path = engine(tmp_path / "bin", "20.10.24")
    root = str(tmp_path)
    for _ in range(3):
        done = call("mlcr_print_engine_version", "docker", PATH=path, mlcr_root=root)
        assert done.stdout == b"20.10.24\n"
    calls = tmp_path / "bin/calls"
    assert calls.read_text() == "x\n"
    engine(tmp_path / "bin", "27.0")
    os.utime(tmp_path / "engine-docker", (0, 0))
    done = call("mlcr_print_engine_version", "docker", PATH=path, mlcr_root=root)
    assert done.stdout == b"27.0\n", "the program has changed"


def test_the_digest_of_a_sif_file_is_kept_until_it_changes(call: Call, tmp_path: Path) -> None:
    root, image = tmp_path / "root", tmp_path / "workspace/an image.sif"
    for folder in (root, image.parent):
        folder.mkdir()
    image.write_bytes(b"one")

    def digest() -> bytes:
        return call("mlcr_print_sif_digest", str(image), mlcr_root=str(root)).stdout

    first = hashlib.sha256(b"one").hexdigest().encode() + b"\n"
    assert digest() == first
    (kept,) = root.iterdir()
    kept.write_text(kept.read_text().replace(first.decode().strip(), "kept"))
    assert digest() == b"kept\n"
    image.write_bytes(b"another")
    assert digest() == hashlib.sha256(b"another").hexdigest().encode() + b"\n"
    assert list(image.parent.iterdir()) == [image], "a task may write there"
