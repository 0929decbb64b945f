# SPDX-License-Identifier: Apache-2.0
"""What a run sends is listed once for all hosts, and no change is missed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlcube_remote.files import sent_names
from mlcube_remote.files.sent_names import SentNames, is_settled
from mlcube_remote.files.transfer import list_entries
from mlcube_remote.files.upload import UploadTree
from tests.support.waiting import wait_for


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    cube = tmp_path / "cube"
    (cube / "data/deep").mkdir(parents=True)
    (cube / "data/deep/one").touch()
    (cube / "mlcube.yaml").write_text("name: c\n")
    return cube


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[UploadTree]:
    """Give the trees that were listed."""
    trees = []

    def count(tree: UploadTree, most: int) -> list[bytes] | None:
        trees.append(tree)
        return list_entries(tree, most)

    monkeypatch.setattr(sent_names, "list_entries", count)
    return trees


def tree(local: Path, number: int = 1, **more: object) -> UploadTree:
    return UploadTree(local=local, remote=f"/home/host{number}/{local.name}", **more)  # type: ignore[arg-type]


def names(known: SentNames, sent: UploadTree) -> list[str]:
    found = known.read(sent)
    assert found is not None
    return sorted(str(each.local.relative_to(sent.local)) for each in found)


def settle(cube: Path) -> None:
    """Wait until the last change is so old that the cube is listed at once."""
    wait_for(
        lambda: all(is_settled(each.stat(), time.time_ns()) for each in (cube, *cube.rglob("*")))
    )


def test_a_tree_is_listed_once_for_several_hosts(cube: Path, listed: list[UploadTree]) -> None:
    settle(cube)
    known = SentNames()
    for number in range(3):
        found = known.read(tree(cube, number))
        assert found is not None
        assert sorted(each.remote for each in found) == [
            f"/home/host{number}/cube{rest}"
            for rest in ("", "/data", "/data/deep", "/data/deep/one", "/mlcube.yaml")
        ]
    assert len(listed) == 1


def test_other_rules_are_another_list(cube: Path, listed: list[UploadTree]) -> None:
    settle(cube)
    known = SentNames()
    assert "mlcube.yaml" in names(known, tree(cube))
    assert "mlcube.yaml" not in names(known, tree(cube, rules=("- /mlcube.yaml",)))
    assert len(listed) == 2


def replace_by_directory(path: Path) -> None:
    path.unlink()
    (path / "below").mkdir(parents=True)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file more": lambda cube: (cube / "data/deep/two").touch(),
    "a file less": lambda cube: (cube / "data/deep/one").unlink(),
    "another name": lambda cube: (cube / "data/deep/one").rename(cube / "data/deep/other"),
    "a directory more": lambda cube: (cube / "data/more").mkdir(),
    "a directory at another place": lambda cube: (cube / "data/deep").rename(cube / "deep"),
    "a directory instead of a file": lambda cube: replace_by_directory(cube / "data/deep/one"),
}


def require_seen(cube: Path, change: Callable[[Path], object]) -> None:
    known = SentNames()
    before = names(known, tree(cube))
    change(cube)
    after = names(known, tree(cube, 2))
    assert after != before
    assert after == names(SentNames(), tree(cube))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(cube: Path, change: Callable[[Path], object]) -> None:
    require_seen(cube, change)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen_where_times_do_not_change(
    cube: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    def without_times(path: Path) -> SimpleNamespace:
        found = os.lstat(path)
        mode, device, inode = found.st_mode, found.st_dev, found.st_ino
        return SimpleNamespace(
            st_mode=mode, st_dev=device, st_ino=inode, st_mtime_ns=0, st_ctime_ns=0
        )

    monkeypatch.setattr(Path, "lstat", without_times)
    require_seen(cube, change)


def test_a_file_that_appears_while_the_tree_is_listed_is_seen(
    cube: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def list_and_add(tree: UploadTree, most: int) -> list[bytes] | None:
        found = list_entries(tree, most)
        (cube / "data/late").touch()
        return found

    monkeypatch.setattr(sent_names, "list_entries", list_and_add)
    known = SentNames()
    assert "data/late" in names(known, tree(cube))
    assert "data/late" in names(known, tree(cube, 2))


def test_a_tree_that_changes_all_the_time_has_no_names(
    cube: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def list_and_change(tree: UploadTree, most: int) -> list[bytes] | None:
        os.utime(cube / "data")
        return list_entries(tree, most)

    monkeypatch.setattr(sent_names, "list_entries", list_and_change)
    assert SentNames().read(tree(cube)) is None


def test_the_status_of_a_file_is_that_of_now(cube: Path) -> None:
    settle(cube)
    known = SentNames()
    known.read(tree(cube))
    (cube / "mlcube.yaml").write_text("name: longer\n")
    found = known.read(tree(cube))
    assert found is not None
    assert {each.status.st_size for each in found if each.local.name == "mlcube.yaml"} == {13}


def test_a_single_file_is_a_tree(cube: Path) -> None:
    (found,) = SentNames().read(tree(cube / "mlcube.yaml")) or []
    assert found.local == cube / "mlcube.yaml"
    assert found.remote == "/home/host1/mlcube.yaml"


def test_too_many_names_are_not_listed_to_the_end(
    cube: Path, listed: list[UploadTree], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sent_names, "MAX_NAMES", 4)
    known = SentNames()
    assert known.read(tree(cube)) is None
    assert known.read(tree(cube, rules=("- /mlcube.yaml",))) is not None
    assert known.read(tree(cube, 2)) is None
    assert len(listed) == 2, "once for all hosts"


def test_a_directory_that_cannot_be_listed_has_no_names(tmp_path: Path) -> None:
    assert SentNames().read(UploadTree(local=tmp_path / "gone", remote="/x")) is None
