# SPDX-License-Identifier: Apache-2.0
"""Inputs that would arrive incomplete are refused, with what to type; what they need is sent."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest

from mlcube_remote.cube.load import load
from mlcube_remote.errors import PlanError
from mlcube_remote.files.complete_inputs import check_complete, follow_links
from mlcube_remote.files.upload import job_trees
from mlcube_remote.inventory.model import LOCAL_HOST, Host
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.placed_job import place_job
from mlcube_remote.plan.plan import plan_jobs
from tests.support.linked_cubes import job, make_cube, refused


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_cube(tmp_path)


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


@pytest.mark.parametrize("pattern", ["workspace/data/", "*.bin"])
def test_what_an_earlier_task_makes_may_be_excluded(root: Path, pattern: str) -> None:
    (root / ".mlcubeignore").write_text(f"{pattern}\n")
    text = (root / "mlcube.yaml").read_text()
    maker = "tasks:\n  fetch: {parameters: {outputs: {data: data/}}}"
    (root / "mlcube.yaml").write_text(text.replace("tasks:", maker))
    request = RunRequest(
        cube=load(root), hosts=(Host(name="h"),), tasks=("fetch", "train"), run_id="r"
    )
    (spec,) = plan_jobs(request)
    (root / "workspace/data/latest").symlink_to("step9")
    assert check_complete([place_job(spec)]) == ()
    (root / ".mlcubeignore").unlink()
    (root / "workspace/data/big").symlink_to("/usr/share")
    with pytest.raises(PlanError, match=r"would arrive incomplete") as caught:
        check_complete([place_job(spec)])
    assert "--copy-links" in str(caught.value.hint)


def test_an_input_with_a_name_that_stays_here_is_an_error(root: Path) -> None:
    (root / "workspace/key.pem").write_text("k")
    error = refused(root, config="key.pem")
    assert "is not sent: by default, key.pem stays" in str(error)
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
    (tree,) = job_trees(job(root))
    assert follow_links(tree).copies is None


def test_a_workspace_that_is_a_link_is_answered_with_its_place(root: Path, tmp_path: Path) -> None:
    (root / "workspace").rename(tmp_path / "ws")
    (root / "workspace").symlink_to(tmp_path / "ws")
    error = refused(root)
    assert error.hint == f"name the place itself: --workspace={tmp_path / 'ws'}"
    assert check_complete([job(root, workspace=tmp_path / "ws")]) == ()
    (tmp_path / "alias").symlink_to(tmp_path / "ws")
    assert check_complete([job(root, workspace=tmp_path / "alias")]) == (), "the user's own link"


def test_links_to_nothing_are_an_error_unless_they_stay_inside(root: Path) -> None:
    (root / "workspace/data/lock").symlink_to("someone@pc.1234")
    assert check_complete([job(root)]) == ()
    (root / "workspace/data/disk").symlink_to("/mnt/not/mounted")
    error = refused(root)
    assert (
        "1 link leads to nothing on this machine: workspace/data/disk (to /mnt/not/mounted)"
        in str(error)
    )


def test_an_input_that_is_a_link_to_nothing_is_an_error(root: Path) -> None:
    (root / "workspace/conf.yaml").unlink()
    (root / "workspace/conf.yaml").symlink_to("gone.yaml")
    assert "1 link leads to nothing on this machine: workspace/conf.yaml (to gone.yaml)" in str(
        refused(root)
    )


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
