# SPDX-License-Identifier: Apache-2.0
"""Inputs that would arrive incomplete are refused, with what to type; what they need is sent."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcube_remote.cube.load import load
from mlcube_remote.errors import PlanError
from mlcube_remote.files.complete_inputs import check_complete, follow_links
from mlcube_remote.files.upload import UploadTree, upload_trees
from mlcube_remote.inventory.model import LOCAL_HOST, Host
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.placed_job import PlacedJob, place_job, uploads
from mlcube_remote.plan.plan import plan_jobs

CUBE = """
name: c
docker: {image: x}
tasks:
  train:
    parameters:
      inputs: {data: data/, config: {type: file, default: conf.yaml}}
      outputs: {model: model/}
  make:
    parameters: {outputs: {made: made/}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cube/workspace/data").mkdir(parents=True)
    (tmp_path / "cube/workspace/data/own.bin").write_text("own")
    (tmp_path / "cube/workspace/conf.yaml").write_text("x")
    (tmp_path / "cube/mlcube.yaml").write_text(CUBE)
    (tmp_path / "big/train").mkdir(parents=True)
    (tmp_path / "big/train/a.bin").write_text("a")
    (tmp_path / "big/b.bin").write_text("b")
    return tmp_path / "cube"


def job(
    root: Path, *, workspace: Path | None = None, host: Host | None = None, **values: str
) -> PlacedJob:
    cube = load(root, tasks=["train"], task_args=values, workspace=workspace)
    host = host or Host(name="h", remote_root="/r")
    request = RunRequest(cube=cube, hosts=(host,), tasks=("train",), run_id="run")
    (planned,) = plan_jobs(request)
    return place_job(planned)


COPYING = Host(name="h", remote_root="/r", copy_links=True)


def refused(root: Path, *, workspace: Path | None = None, **values: str) -> PlanError:
    with pytest.raises(PlanError) as caught:
        check_complete([job(root, workspace=workspace, host=None, **values)])
    return caught.value


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
    for number, tree in enumerate(upload_trees(job.spec.cube, uploads(job), job.paths)):
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
    (local,) = upload_trees(
        load(root), uploads(job(root, config=f"local:{conf}")), job(root).paths
    )[1:]
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


def test_links_that_stay_inside_are_no_error(root: Path) -> None:
    (root / "shared").mkdir()
    (root / "shared/s.bin").write_text("s")
    (root / "workspace/data/relative").symlink_to("../../shared/s.bin")
    (root / "workspace/data/absolute").symlink_to(root / "shared/s.bin")
    (root / "workspace/data/again").symlink_to("../../../cube/shared")
    assert check_complete([job(root)]) == ()


def test_a_link_to_excluded_data_is_an_error(root: Path) -> None:
    (root / "raw").mkdir()
    (root / "raw/r.bin").write_text("r")
    (root / "workspace/data/r.bin").symlink_to("../../raw/r.bin")
    assert check_complete([job(root)]) == ()
    (root / ".mlcubeignore").write_text("raw/\n")
    error = refused(root)
    assert "workspace/data/r.bin (to" in str(error)
    assert ".mlcubeignore" in str(error.hint)
    (root / ".mlcubeignore").write_text("raw/\nworkspace/data/r.bin\n")
    assert check_complete([job(root)]) == (), "the user has excluded the link too"


def test_a_link_to_another_tasks_output_may_be_on_the_host(root: Path) -> None:
    (root / "workspace/made").mkdir()
    (root / "workspace/made/m.bin").write_text("m")
    (root / "workspace/data/m").symlink_to("../made/m.bin")
    assert check_complete([job(root)]) == ()


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [("workspace/data/", "remove the line"), ("*.bin", "remove the line")],
)
def test_an_input_that_the_ignore_file_excludes_is_an_error(
    root: Path, pattern: str, hint: str
) -> None:
    (root / ".mlcubeignore").write_text(f"{pattern}\n")
    error = refused(root)
    assert "is excluded by" in str(error)
    assert hint in str(error.hint)


def test_an_input_with_a_name_that_stays_here_is_an_error(root: Path) -> None:
    (root / "workspace/key.pem").write_text("k")
    error = refused(root, config="key.pem")
    assert "is not sent: key.pem is on the list" in str(error)
    (root / ".mlcubeignore").write_text(str(error.hint).rpartition(": ")[2] + "\n")
    assert check_complete([job(root, config="key.pem")]) == (), "the hint works"


def test_an_input_among_the_results_is_an_error_whose_hint_works(root: Path) -> None:
    (root / "results/old").mkdir(parents=True)
    (root / "results/old/w.bin").write_text("w")
    error = refused(root, config="../results/old/w.bin")
    assert "not sent" in str(error)
    value = str(error.hint).rpartition("config=")[2]
    assert check_complete([job(root, config=value)]) == ()


def test_excluded_links_that_leave_are_no_error(root: Path) -> None:
    (root / "workspace/data/cache").symlink_to(root.parent / "big")
    (root / ".mlcubeignore").write_text("cache\n")
    assert check_complete([job(root)]) == ()
    (tree,) = upload_trees(load(root), uploads(job(root)), job(root).paths)
    assert follow_links(tree).copies is None


def test_a_workspace_that_is_a_link_is_answered_with_its_place(root: Path, tmp_path: Path) -> None:
    (root / "workspace").rename(tmp_path / "ws")
    (root / "workspace").symlink_to(tmp_path / "ws")
    error = refused(root)
    assert error.hint == f"name the place itself: --workspace={tmp_path / 'ws'}"
    assert check_complete([job(root, workspace=tmp_path / "ws")]) == ()
    (tmp_path / "alias").symlink_to(tmp_path / "ws")
    assert check_complete([job(root, workspace=tmp_path / "alias")]) == (), "the user's own link"


def test_links_in_local_directories_count_too(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/train").symlink_to(root.parent / "big/train")
    error = refused(root, data=f"local:{tmp_path}/mine")
    assert f"leaves {tmp_path}/mine" in str(error)
    copying = job(root, host=COPYING, data=f"local:{tmp_path}/mine")
    assert len(check_complete([copying])) == 1
    sent(copying, tmp_path / "mirror")
    assert (tmp_path / "tree1/train/a.bin").read_text() == "a"


def test_links_to_nothing_are_an_error_unless_they_stay_inside(root: Path) -> None:
    (root / "workspace/data/lock").symlink_to("someone@pc.1234")
    assert check_complete([job(root)]) == ()
    (root / "workspace/data/disk").symlink_to("/mnt/not/mounted")
    error = refused(root)
    assert "workspace/data/disk (to /mnt/not/mounted): leads to nothing" in str(error)


def test_an_input_that_is_a_link_to_nothing_is_an_error(root: Path) -> None:
    (root / "workspace/conf.yaml").unlink()
    (root / "workspace/conf.yaml").symlink_to("gone.yaml")
    assert "conf.yaml (to gone.yaml): leads to nothing" in str(refused(root))


def test_what_is_no_file_is_one_warning(root: Path) -> None:
    data = root / "workspace/data"
    os.mkfifo(data / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(data / "sock"))
    (data / "x.pem").write_text("x")
    (data / "__pycache__").mkdir()
    special, stays = check_complete([job(root)])
    assert "data/pipe, workspace/data/sock: pipes, sockets" in special
    assert "workspace/data/x.pem: such names stay here" in stays


def test_an_empty_input_is_one_warning(root: Path) -> None:
    (root / "workspace/data/own.bin").unlink()
    (warning,) = check_complete([job(root), job(root)])
    assert "is an empty directory on this machine" in warning


OTHER_USER = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("name", ["own.bin", "secret", "."])
def test_what_this_user_cannot_read_is_an_error(root: Path, name: str) -> None:
    path = root / "workspace/data" / name
    if name == "secret":
        path.mkdir()
    for each in (root.parent, *root.parent.parents[:-2]):
        each.chmod(0o755)
    path.chmod(0o700 if path.is_dir() else 0o600)
    placed = job(root)
    child = os.fork()
    if not child:
        os.setuid(OTHER_USER)
        try:
            check_complete([placed])
            os._exit(1)
        except PlanError as error:
            shown = os.path.normpath(path)
            right = f"{shown} cannot be read" in str(error)
            os._exit(0 if right and f"sudo chmod -R a+rX {shown}" in str(error.hint) else 2)
        finally:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_an_output_behind_a_link_is_refused_with_a_hint_that_works(root: Path) -> None:
    (root / "workspace/model").symlink_to(root.parent / "big")
    with pytest.raises(PlanError, match="outputs are not written through links") as caught:
        job(root)
    value = str(caught.value.hint).rpartition("model=")[2]
    assert value == f"local:{root.parent}/big"
    assert check_complete([job(root, model=value)]) == ()
    assert job(root, host=LOCAL_HOST)


def test_a_workspace_that_is_a_link_is_refused_for_outputs_too(root: Path, tmp_path: Path) -> None:
    (root / "workspace").rename(tmp_path / "ws")
    (root / "workspace").symlink_to(tmp_path / "ws")
    cube = load(root, tasks=["make"])
    request = RunRequest(
        cube=cube, hosts=(Host(name="h", remote_root="/r"),), tasks=("make",), run_id="run"
    )
    with pytest.raises(PlanError, match="is a link") as caught:
        plan_jobs(request)
    assert f"--workspace={tmp_path}/ws" in str(caught.value.hint)


def test_what_is_removed_during_the_walk_is_no_error(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = root / "workspace/data"
    (data / "link").symlink_to("own.bin")
    (data / "gone").write_text("x")
    scandir = os.scandir

    def list_then_remove(folder: int) -> contextlib.AbstractContextManager[list[os.DirEntry[str]]]:
        with scandir(folder) as entries:
            found = list(entries)
        for name in ("link", "gone"):
            (data / name).unlink(missing_ok=True)
        return contextlib.nullcontext(found)

    monkeypatch.setattr(os, "scandir", list_then_remove)
    assert check_complete([job(root)]) == ()
