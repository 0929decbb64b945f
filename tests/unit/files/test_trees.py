# SPDX-License-Identifier: Apache-2.0
"""Digests of directories on this machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from mlcube_remote.files import trees
from mlcube_remote.files.trees import read_tree
from mlcube_remote.runs.digests import Digests
from mlcube_remote.runs.manifests import Manifests


@pytest.fixture
def manifests(tmp_path: Path) -> Manifests:
    return Manifests(tmp_path / "manifests")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.txt").write_text("b")
    (folder / "sub" / "new\nline.txt").write_text("a")
    return folder


def test_the_digest_is_what_the_documented_command_prints(
    folder: Path, manifests: Manifests
) -> None:
    command = str(trees.__doc__).split("::")[1].split("A link")[0].strip()
    page = Path(__file__).parents[3] / "docs/reference/provenance.md"
    assert f"```sh\n{command}\n```" in page.read_text()
    printed = subprocess.run(
        ["sh", "-c", command], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    tree = read_tree(folder, Digests(), manifests)
    assert (tree.files, tree.size, tree.sha256) == (2, 2, printed.split()[0])
    assert set(manifests.read(tree.sha256) or ()) == {"b.txt", "sub/new\nline.txt"}


def test_a_file_has_its_own_digest(folder: Path, manifests: Manifests) -> None:
    tree = read_tree(folder / "b.txt", Digests(), manifests)
    assert (tree.files, tree.sha256) == (1, hashlib.sha256(b"b").hexdigest())


def test_the_target_of_a_link_counts(folder: Path, manifests: Manifests) -> None:
    seen = set()
    for target in ("b.txt", "sub", "/nowhere"):
        (folder / "link").symlink_to(target)
        seen.add(read_tree(folder, Digests(), manifests).sha256)
        (folder / "link").unlink()
    assert len(seen) == 3


def test_a_large_directory_is_read_again_only_if_it_has_changed(
    folder: Path, manifests: Manifests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "_MANY", 2)
    first = read_tree(folder, Digests(), manifests)
    with monkeypatch.context() as patched:
        patched.setattr(Digests, "of", lambda *_: pytest.fail("a file was read"))
        assert read_tree(folder, Digests(), manifests) == first
    before = os.stat(folder / "b.txt")
    (folder / "b.txt").write_text("c")
    os.utime(folder / "b.txt", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert read_tree(folder, Digests(), manifests).sha256 != first.sha256
