# SPDX-License-Identifier: Apache-2.0
"""An image of a cube without trust is built from what was checked, and from the cube only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.sif_cube import DEFINITION, Cube, cube

__all__ = ["cube"]

DIGEST = hashlib.sha256(DEFINITION.encode()).hexdigest()


def test_the_checked_file_is_built_even_if_it_is_replaced_meanwhile(cube: Cube) -> None:
    done = cube.build_checked(DIGEST, "project/*.py\n.\nbase.sif")
    assert done.returncode == 0, done.stderr
    source = cube.log.read_text().split(" ")[-1]
    assert source.endswith("/.definition\n"), "a copy, which no task can change"
    assert cube.left() == {cube.image.name, f".{cube.image.name}.recipe"}
    assert cube.state() == "f", "the stamp is about the cube's own file"


def test_a_file_that_was_not_checked_is_not_built(cube: Cube) -> None:
    (cube.root / "cube.def").write_text(DEFINITION + "%setup\n touch x\n")
    done = cube.build_checked(DIGEST, "")
    assert (done.returncode, cube.builds()) == (1, 0)
    assert b"cube.def differs from the file that was checked on the client" in done.stderr
    assert not cube.image.exists()
    assert cube.left() == set()


def move_project_away(root: Path) -> None:
    (root / "project").rename(root.parent / "away")
    (root / "project").symlink_to(root.parent / "away")


def link_through_a_link(root: Path) -> None:
    (root / "project/x.py").symlink_to("../workspace")
    (root / "workspace/y").symlink_to("/etc")


def link_below_a_directory(root: Path) -> None:
    (root / "project/sub.py").mkdir()
    (root / "project/sub.py/x").symlink_to("/etc")


LINKS: dict[str, Callable[[Path], None]] = {
    "a link": lambda root: (root / "project/x.py").symlink_to("/etc/passwd"),
    "a relative link": lambda root: (root / "project/x.py").symlink_to("../../../etc/passwd"),
    "a link that leads nowhere": lambda root: (root / "project/x.py").symlink_to("/no/such"),
    "a link below a directory": link_below_a_directory,
    "a link through a link": link_through_a_link,
    "a directory above": move_project_away,
    "a name with a line break": lambda root: (root / "project/a\nb.py").symlink_to("/etc/passwd"),
}


@pytest.mark.parametrize("what", LINKS)
def test_what_is_copied_stays_in_the_cube(cube: Cube, what: str) -> None:
    LINKS[what](cube.root)
    done = cube.build_checked("", "project/*.py")
    assert (done.returncode, cube.builds()) == (1, 0)
    assert b"leads out of the cube" in done.stderr


def test_links_that_stay_inside_are_copied(cube: Cube) -> None:
    (cube.root / "project/x.py").symlink_to("main.py")
    (cube.root / "project/a[1].py").write_text("one")
    (cube.root / "workspace/out").symlink_to("/etc")
    done = cube.build_checked("", "project/*.py\nproject/a[1].py\nproject/none*")
    assert (done.returncode, cube.builds()) == (0, 1), done.stderr


def test_an_image_is_not_written_through_a_link(cube: Cube) -> None:
    elsewhere = cube.root.parent / "elsewhere"
    elsewhere.mkdir()
    cube.image.parent.symlink_to(elsewhere)
    done = cube.build_checked()
    assert (done.returncode, cube.builds()) == (1, 0)
    assert b"leads out of the cube, so no image is written there" in done.stderr
    assert list(elsewhere.iterdir()) == []
    assert cube.build().returncode == 0, "the user trusts the cube"
