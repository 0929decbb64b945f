# SPDX-License-Identifier: Apache-2.0
"""Links out of an input are refused, and with copy_links what they lead to is sent."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcube_remote.errors import PlanError
from mlcube_remote.files.complete_inputs import check_complete, follow_links
from mlcube_remote.files.input_scan import Link
from mlcube_remote.files.link_copies import plan_copies
from mlcube_remote.files.upload import UploadTree, job_trees
from mlcube_remote.inventory.model import LOCAL_HOST
from mlcube_remote.plan.placed_job import PlacedJob
from tests.support.linked_cubes import COPYING, job, make_cube, refused


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_cube(tmp_path)


def test_a_plain_input_is_complete(root: Path) -> None:
    assert check_complete([job(root)]) == ()


def test_links_below_an_input_are_named_and_counted(root: Path) -> None:
    data = root / "workspace/data"
    for number in range(2000):
        (data / f"x{number:04}").symlink_to(root.parent / "big/b.bin")
    error = refused(root)
    assert "train.data" in str(error)
    assert "2000 links" in str(error)
    assert f"workspace/data/x0000 (to {root.parent}/big/b.bin)" in str(error)
    assert len(str(error)) < 800
    assert "--copy-links" in str(error.hint)


def link_below(root: Path) -> None:
    (root / "workspace/data/train").symlink_to(root.parent / "big/train")


def link_itself(root: Path) -> None:
    (root / "workspace/data/own.bin").unlink()
    (root / "workspace/data").rmdir()
    (root / "workspace/data").symlink_to(root.parent / "big")


def link_by_another_link(root: Path) -> None:
    """Its text stays in the cube, and passes through a link that leaves it."""
    (root / "disk").symlink_to(root.parent / "big")
    (root / "workspace/data/train").symlink_to("../../disk/train")


def link_that_climbs(root: Path) -> None:
    (root / "workspace/data/train").symlink_to("../../../big/train")


def link_behind_a_link(root: Path) -> None:
    """An inner link leads to a directory of the cube, which has the link that leaves."""
    (root / "raw").mkdir()
    (root / "raw/train").symlink_to(root.parent / "big/train")
    (root / "workspace/data/raw").symlink_to("../../raw")


LEAVING = [link_below, link_itself, link_by_another_link, link_that_climbs, link_behind_a_link]


@pytest.mark.parametrize("make", LEAVING)
def test_a_link_that_leaves_is_an_error_that_says_where(
    root: Path, make: Callable[[Path], None]
) -> None:
    make(root)
    error = refused(root)
    assert str(root.parent / "big") in str(error)
    assert "--copy-links" in str(error.hint)
    assert check_complete([job(root, host=LOCAL_HOST)]) == (), "here, the link is enough"


def sent(job: PlacedJob, copy: Path) -> dict[str, str]:
    """Let rsync send the trees of a job to a directory; return path → text of the first tree."""
    for number, tree in enumerate(job_trees(job)):
        target = copy if not number else copy.with_name(f"tree{number}")
        target.mkdir(exist_ok=True)
        send(follow_links(tree) if job.spec.copies_links else tree, target)
    return {
        path.relative_to(copy).as_posix(): path.read_text()
        for path in copy.rglob("*")
        if path.is_file()
    }


def send(tree: UploadTree, target: Path) -> None:
    calls = [tree.arguments()]
    if tree.copies:
        folder = target.with_name("small")
        folder.mkdir(exist_ok=True)
        tree.copies.write(folder)
        calls.append(tree.copies_arguments(folder))
    for *options, _ in calls:
        subprocess.run(["rsync", *options, f"{target}/"], check=True, capture_output=True)
    if tree.copies:
        subprocess.run(["rm", "-r", str(target.with_name("small"))], check=True)


@pytest.mark.parametrize("make", LEAVING)
def test_copy_links_sends_what_they_lead_to(
    root: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(root)
    (warning,) = check_complete([job(root, host=COPYING)])
    assert str(root.parent / "big") in warning
    copy = tmp_path / "mirror"
    for _ in range(2):  # the second time, the copies are in the place of the links
        arrived = sent(job(root, host=COPYING), copy)
        assert [text for name, text in arrived.items() if name.endswith("train/a.bin")] == ["a"]
        assert not any(path.is_symlink() and not path.exists() for path in copy.rglob("*"))


def test_a_file_input_that_is_a_link_arrives_as_a_file(root: Path, tmp_path: Path) -> None:
    conf = root / "workspace/conf.yaml"
    conf.unlink()
    conf.symlink_to(root.parent / "big/b.bin")
    error = refused(root)
    assert f"config=local:{root.parent}/big/b.bin" in str(error.hint)
    assert sent(job(root, host=COPYING), tmp_path / "mirror")["workspace/conf.yaml"] == "b"
    (local,) = job_trees(job(root, config=f"local:{conf}"))[1:]
    subprocess.run(["rsync", *local.arguments()[:-1], f"{tmp_path}/one"], check=True)
    assert not (tmp_path / "one").is_symlink()
    assert (tmp_path / "one").read_text() == "b"


def test_links_in_what_links_lead_to_are_followed_and_circles_end(
    root: Path, tmp_path: Path
) -> None:
    big = root.parent / "big"
    (root / "workspace/data/train").symlink_to(big / "train")
    (root.parent / "other").mkdir()
    (root.parent / "other/o.bin").write_text("o")
    (root.parent / "other/back").symlink_to(big / "train")
    (root.parent / "other/home").symlink_to(root / "workspace/data")
    (big / "train/other").symlink_to(root.parent / "other")
    (big / "train/self").symlink_to(big / "train")
    (big / "train/same").symlink_to("a.bin")
    (big / "train/gone").symlink_to("/nowhere/at/all")
    arrived = sent(job(root, host=COPYING), tmp_path / "mirror")
    data = tmp_path / "mirror/workspace/data"
    assert arrived["workspace/data/train/other/o.bin"] == "o"
    assert os.readlink(data / "train/same") == "a.bin"
    assert (data / "train/self").resolve() == data / "train"
    assert (data / "train/other/back").resolve() == data / "train"
    assert (data / "train/other/home").resolve() == data
    assert not os.path.lexists(data / "train/gone")


def test_a_link_to_a_directory_above_is_refused(root: Path) -> None:
    (root / "workspace/data/up").symlink_to(root.parent)
    with pytest.raises(PlanError, match="which contains the link"):
        check_complete([job(root, host=COPYING)])


def test_links_in_local_directories_count_too(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/train").symlink_to(root.parent / "big/train")
    error = refused(root, data=f"local:{tmp_path}/mine")
    assert f"leaves {tmp_path}/mine" in str(error)
    copying = job(root, host=COPYING, data=f"local:{tmp_path}/mine")
    assert len(check_complete([copying])) == 1
    sent(copying, tmp_path / "mirror")
    assert (tmp_path / "tree1/train/a.bin").read_text() == "a"


def test_what_is_below_a_followed_link_is_sent_with_it(tmp_path: Path) -> None:
    """A name that sorts between a link and what is below it does not hide the link."""
    for name in ("big/x", "other"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "f").write_text("f")
    top = tmp_path / "top"
    top.mkdir()
    for name, target in (("a", "big"), ("a-b", "other")):
        (top / name).symlink_to(tmp_path / target)
    leaving = [
        Link(name="a", text=str(tmp_path / "big"), end=tmp_path / "big", below="x"),
        Link(name="a-b", text=str(tmp_path / "other"), end=tmp_path / "other"),
        Link(name="a", text=str(tmp_path / "big"), end=tmp_path / "big"),
    ]
    assert {*plan_copies(top, leaving).followed} == {f"{top}/a", f"{top}/a-b"}


def test_thousands_of_links_cost_no_second(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    top = tmp_path / "top"
    top.mkdir()
    leaving = []
    for number in range(3000):
        (top / f"l{number}").symlink_to(tmp_path / "f")
        leaving.append(Link(name=f"l{number}", text=str(tmp_path / "f"), end=tmp_path / "f"))
    started = time.process_time()
    assert len(plan_copies(top, leaving).followed) == 3000
    # A plan that compared each link with each other took 20 times as long.
    assert time.process_time() - started < 5
