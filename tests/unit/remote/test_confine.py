# SPDX-License-Identifier: Apache-2.0
"""Paths that a task can replace by links are used only if they stay in their area."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import Call, Completed, launch, task_report
from tests.support.waiting import wait_for

LEADS_OUT = 20


@attrs.frozen
class Host:
    """A remote_root with the mirror of a cube, and something outside of it."""

    call: Call
    home: Path

    @property
    def root(self) -> Path:
        return self.home / "root"

    @property
    def area(self) -> tuple[str, str]:
        return str(self.root), "cubes/x"

    @property
    def workspace(self) -> Path:
        return self.root / "cubes/x/workspace"

    @property
    def outside(self) -> Path:
        return self.home / "outside"

    def prepare(self, path: Path | str) -> Completed:
        return self.call("mlcr_prepare_paths", "0", *self.area, str(path))


@pytest.fixture
def host(call: Call, tmp_path: Path) -> Host:
    made = Host(call, tmp_path)
    (made.workspace / "real/sub").mkdir(parents=True)
    (made.outside / "sub").mkdir(parents=True)
    (made.outside / "file").write_text("theirs")
    return made


Plant = Callable[[Host], Path]


def link(host: Host, name: str, target: Path | str, below: str = "") -> Path:
    path = host.workspace / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path / below if below else path


def replace_workspace(host: Host) -> Path:
    host.workspace.rename(host.workspace.with_name("moved"))
    host.workspace.symlink_to(host.outside)
    return host.workspace / "sub"


def replace_cube(host: Host) -> Path:
    cube = host.workspace.parent
    cube.rename(host.root / "moved")
    cube.symlink_to(host.outside)
    return host.workspace


OUTWARD: dict[str, Plant] = {
    "absolute": lambda host: link(host, "stage", host.outside),
    "relative": lambda host: link(host, "stage", "../../../../outside"),
    "to the root directory": lambda host: link(host, "stage", "/"),
    "with a slash at the end": lambda host: Path(f"{link(host, 'stage', host.outside)}/"),
    "in the middle": lambda host: link(host, "stage", host.outside, "sub"),
    "in the middle, to something new": lambda host: link(host, "stage", host.outside, "new/deep"),
    "to a link": lambda host: link(host, "b", link(host, "a", host.outside)),
    "to a parent": lambda host: link(host, "stage", "../.."),
    "to another cube": lambda host: link(host, "stage", host.root / "cubes"),
    "dangling": lambda host: link(host, "stage", host.outside / "new"),
    "dangling, in the middle": lambda host: link(host, "stage", host.outside / "new", "deep"),
    "to a file": lambda host: link(host, "stage", host.outside / "file"),
    "to itself": lambda host: link(host, "stage", "stage"),
    "before two dots": lambda host: link(host, "stage", host.outside / "sub", ".."),
    "the workspace itself": replace_workspace,
    "the cube itself": replace_cube,
    "a name that starts like the area": lambda host: link(host, "stage", twin(host)),
}


def twin(host: Host) -> Path:
    place = host.root / "cubes/x-twin"
    place.mkdir()
    return place


def tree(top: Path) -> list[str]:
    return sorted(str(path) for path in top.rglob("*"))


@pytest.mark.parametrize("kind", OUTWARD)
def test_a_link_that_leads_out_is_refused_and_nothing_is_created(host: Host, kind: str) -> None:
    path = OUTWARD[kind](host)
    text = f"{host.workspace}/stage/" if kind.startswith("with a slash") else str(path)
    before = tree(host.home)
    done = host.prepare(text)
    assert done.returncode == LEADS_OUT, done.stderr
    assert str(path).rstrip("/").encode() in done.stderr
    assert tree(host.home) == before


INWARD: dict[str, Plant] = {
    "no link": lambda host: host.workspace / "real/sub",
    "a link inside": lambda host: link(host, "stage", "real"),
    "an absolute link inside": lambda host: link(host, "stage", host.workspace / "real", "sub"),
    "a link to the cube": lambda host: link(host, "stage", ".."),
    "two dots": lambda host: host.workspace / "real/../real/sub",
    "something new": lambda host: host.workspace / "new/deep er/-x",
    "something new below a link": lambda host: link(host, "stage", "real", "new"),
    "a newline at the end": lambda host: host.workspace / "odd\n",
    "a quote": lambda host: host.workspace / "it's $(odd)",
    "the workspace": lambda host: host.workspace,
}


@pytest.mark.parametrize("kind", INWARD)
def test_what_stays_inside_works(host: Host, kind: str) -> None:
    path = INWARD[kind](host)
    done = host.prepare(path)
    assert done.returncode == 0, done.stderr
    assert path.is_dir()


def test_the_users_own_links_lead_anywhere(host: Host) -> None:
    """A home or a remote_root on another disk; a path that the user gave."""
    disk = host.home / "disk"
    host.root.rename(disk)
    host.root.symlink_to(disk)
    assert host.prepare(host.workspace / "new").returncode == 0
    given = host.home / "given"
    given.symlink_to(host.outside)
    for path in (given, given / "sub", given / "new"):
        done = host.call("mlcr_prepare_paths", "0", str(path), "", str(path))
        assert done.returncode == 0, done.stderr
    assert (host.outside / "new").is_dir()


@pytest.mark.parametrize("kind", ["absolute", "in the middle", "the workspace itself"])
def test_copies_follow_no_link_out(host: Host, kind: str) -> None:
    (host.outside / "sub/secret").write_text("secret")
    (host.workspace / "real/input").write_text("input")
    path = OUTWARD[kind](host)
    target = host.root / "workspaces/y"
    into = (str(host.root), "workspaces/y", str(target / "copy"))
    read = host.call("mlcr_prepare_paths", "1", "required", *host.area, str(path / "secret"), *into)
    assert (read.returncode, target.exists()) == (LEADS_OUT, False)
    source = ("required", str(host.home), "", str(host.outside / "file"))
    write = host.call("mlcr_prepare_paths", "1", *source, *host.area, str(path / "new"))
    assert write.returncode == LEADS_OUT
    assert not list(host.outside.rglob("new"))


def test_a_copy_is_not_written_through_a_link(host: Host) -> None:
    victim = host.outside / "victim"
    (host.workspace / "copy").symlink_to(victim)
    source = ("required", str(host.home), "", str(host.outside / "file"))
    done = host.call("mlcr_prepare_paths", "1", *source, *host.area, str(host.workspace / "copy"))
    assert done.returncode == 0, done.stderr
    assert not victim.exists()
    assert (host.workspace / "copy").is_symlink(), "what exists is not replaced"


@pytest.mark.parametrize("target", ["file", "sub", "new"])
def test_a_generated_input_replaces_a_link(host: Host, target: str) -> None:
    file = link(host, "conf.yaml", host.outside / target)
    before = tree(host.outside)
    for mode, text in (("replace", "lr: "), ("append", "1\n")):
        done = host.call("mlcr_write_input", *host.area, str(file), mode, text)
        assert done.returncode == 0, done.stderr
    assert (file.is_symlink(), file.read_text()) == (False, "lr: 1\n")
    assert tree(host.outside) == before
    assert (host.outside / "file").read_text() == "theirs"
    below = link(host, "stage", host.outside, "conf.yaml")
    done = host.call("mlcr_write_input", *host.area, str(below), "replace", "x")
    assert (done.returncode, tree(host.outside)) == (LEADS_OUT, before)


def test_a_task_does_not_start_if_an_earlier_one_planted_a_link(host: Host) -> None:
    stage = host.workspace / "stage"
    job = host.home / "jobs/j"
    mounts = (*host.area, str(host.workspace), *host.area, str(stage / "sub"))
    plant = f"rmdir '{stage}/sub'; ln -s '{host.outside}' '{stage}/sub'"
    launch(host.call, job, plant, "echo ran", mounts=mounts)
    wait_for((job / "tasks/2/exit.1").exists)
    report = task_report(host.call, job, 2)
    assert report["unsafe"] == (
        f"{stage}/sub leads to {host.outside}, which is outside {host.root}/cubes/x"
    )
    assert (job / "tasks/2/stdout").read_bytes() == b""


IMAGES: dict[str, tuple[Plant, bool]] = {
    "a file": (lambda host: host.workspace / "real/x.sif", True),
    "a link inside": (lambda host: link(host, "x.sif", "real/x.sif"), True),
    "nothing": (lambda host: host.workspace / "none.sif", True),
    "a file outside": (lambda host: link(host, "x.sif", host.outside / "file"), False),
    "a directory outside": (lambda host: link(host, "x.sif", host.outside), False),
    "the root directory": (lambda host: link(host, "x.sif", "/"), False),
    "through a directory": (lambda host: link(host, "i", host.outside, "file"), False),
    "dangling": (lambda host: link(host, "x.sif", host.outside / "new"), False),
    "itself": (lambda host: link(host, "x.sif", "x.sif"), False),
    "a twin": (lambda host: link(host, "x.sif", twin(host)), False),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_and_its_sources_are_inside(host: Host, kind: str) -> None:
    (host.workspace / "real/x.sif").write_text("image")
    plant, is_inside = IMAGES[kind]
    path = plant(host)
    before = tree(host.home)
    done = host.call("mlcr_check_sources", *host.area, str(path))
    assert done.returncode == (0 if is_inside else LEADS_OUT), done.stderr
    assert is_inside or f"{path} leads to ".encode() in done.stderr
    job = host.home / "jobs/j"
    launch(host.call, job, "echo ran", image=(*host.area, str(path)))
    wait_for((job / f"tasks/1/exit.{0 if is_inside else 1}").exists)
    assert (job / "tasks/1/stdout").read_bytes() == (b"ran\n" if is_inside else b"")
    assert [each for each in tree(host.home) if "jobs" not in each] == before


def test_a_given_path_is_the_one_that_it_was_at_the_launch(host: Host) -> None:
    """The user meant the directory, not what a task made of it."""
    given = host.home / "given's"
    given.mkdir()
    job = host.home / "jobs/j"
    swap = f"rmdir {quote_words([str(given)])}; ln -s / {quote_words([str(given)])}"
    mounts = (str(given), "", str(given))
    launch(host.call, job, swap, "echo ran", mounts=mounts)
    wait_for((job / "tasks/2/exit.1").exists)
    assert task_report(host.call, job, 2)["unsafe"] == (
        f"{given} leads to /, which is outside {given}"
    )


def test_a_directory_that_an_earlier_task_removed_is_created_again(host: Host) -> None:
    out = host.workspace / "out"
    job = host.home / "jobs/j"
    launch(host.call, job, f"rmdir '{out}'", f"ls -d '{out}'", mounts=(*host.area, str(out)))
    wait_for((job / "tasks/2/exit.0").exists)
    assert out.stat().st_mode & 0o777 == 0o755
