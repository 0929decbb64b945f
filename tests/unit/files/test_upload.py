# SPDX-License-Identifier: Apache-2.0
"""Which files go up: ignore patterns, outputs, results, and what rsync makes of the rules."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcube_remote.cube.load import load
from mlcube_remote.cube.model import Cube
from mlcube_remote.errors import CubeError
from mlcube_remote.files.filters import escape, exclude_path, filter_rules, read_patterns
from mlcube_remote.files.upload import UploadTree, cube_trees, needed_data
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan.host_paths import HostPaths, host_paths
from mlcube_remote.plan.placement import PlacedParameter, place_parameters

HOST = Host(name="h")


def sent_by_rsync(source: Path, rules: list[str]) -> set[str]:
    """Return the files that rsync would send under these rules."""
    filters = [f"--filter={rule}" for rule in rules]
    argv = ["rsync", "-rl", "--dry-run", "--out-format=%n", *filters, f"{source}/", "/nowhere/"]
    done = subprocess.run(argv, capture_output=True, check=True)
    names = os.fsdecode(done.stdout).splitlines()
    return {name for name in names if not name.endswith("/")}


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


FILES = ("a.py", "a.log", "logs/a.log", "logs/keep.log", "build/x", "src/build/y", "docs/b.txt")


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ([], FILES),
        (["# a comment", "", "  "], FILES),
        (["*.log"], ("a.py", "build/x", "src/build/y", "docs/b.txt")),
        (["*.log", "!keep.log"], ("a.py", "logs/keep.log", "build/x", "src/build/y", "docs/b.txt")),
        (
            ["/build/"],
            ("a.py", "a.log", "logs/a.log", "logs/keep.log", "src/build/y", "docs/b.txt"),
        ),
        (["build/"], ("a.py", "a.log", "logs/a.log", "logs/keep.log", "docs/b.txt")),
        (["src/build"], ("a.py", "a.log", "logs/a.log", "logs/keep.log", "build/x", "docs/b.txt")),
        (["logs/*", "!logs/keep.log"], tuple(f for f in FILES if f != "logs/a.log")),
        (["**/b.txt"], tuple(f for f in FILES if f != "docs/b.txt")),
        (["docs/**/b.txt"], tuple(f for f in FILES if f != "docs/b.txt")),
        (["src/**/build/**/y"], tuple(f for f in FILES if f != "src/build/y")),
        (["logs/**", "!logs/**/keep.log"], tuple(f for f in FILES if f != "logs/a.log")),
        (["/a\\.py"], FILES[1:]),
    ],
)
def test_patterns_mean_what_gitignore_means(
    tmp_path: Path, patterns: list[str], left: tuple[str, ...]
) -> None:
    make(tmp_path, *FILES)
    assert sent_by_rsync(tmp_path, filter_rules(patterns)) == set(left)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".git/info/exclude").write_text("\n".join(patterns))
    kept = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert set(kept) == set(left), "the same verdict as git's"


def test_an_escaped_space_at_the_end_counts(tmp_path: Path) -> None:
    make(tmp_path, "a ", "a", "back\\slash")
    assert sent_by_rsync(tmp_path, filter_rules(["a\\ "])) == {"a", "back\\slash"}
    assert sent_by_rsync(tmp_path, filter_rules(["back\\\\slash"])) == {"a", "a "}


def test_keys_and_histories_stay_unless_taken_back(tmp_path: Path) -> None:
    make(tmp_path, ".git/config", ".ssh/id", ".env", "k/a.pem", "x/.netrc", "code.py")
    assert sent_by_rsync(tmp_path, filter_rules([])) == {"code.py"}
    assert sent_by_rsync(tmp_path, filter_rules(["!.env"])) == {"code.py", ".env"}


_NAME = st.text(st.characters(exclude_characters="/\0\n\r", exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=60, deadline=None)
@given(name=_NAME.filter(lambda name: name not in (".", "..") and len(name.encode()) < 200))
def test_a_path_excludes_itself_alone(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("tree")
    for file in (name, f"other{name}", "plain"):
        (folder / file).write_text("x")
    argv = ["rsync", "-rl", f"--filter={exclude_path(name, directory=False)}"]
    copy = tmp_path_factory.mktemp("copy")
    subprocess.run([*argv, f"{folder}/", f"{copy}/"], check=True, capture_output=True)
    assert set(os.listdir(copy)) == {f"other{name}", "plain"} - {name}


def test_only_patterns_are_escaped() -> None:
    assert escape("a\\b") == "a\\b"
    assert escape("a[1]*\\?") == "a\\[1]\\*\\\\\\?"


def test_a_long_list_of_names_gets_the_advice_to_write_patterns(tmp_path: Path) -> None:
    (tmp_path / ".mlcubeignore").write_text("/data/image.bin\n" * 5_000)
    with pytest.raises(CubeError, match="at most 64 KiB") as caught:
        read_patterns(tmp_path)
    assert "patterns instead of names" in str(caught.value.hint)


def test_an_unreadable_ignore_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".mlcubeignore").write_bytes(b"\xff")
    with pytest.raises(CubeError, match="mlcubeignore: cannot be read"):
        read_patterns(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_first_pattern(tmp_path: Path) -> None:
    (tmp_path / ".mlcubeignore").write_bytes(b"\xef\xbb\xbf*.log\n")
    assert read_patterns(tmp_path) == ("*.log",)


CUBE = """
name: c
docker: {image: x}
tasks:
  download:
    parameters: {outputs: {data: data/, log: {type: file, default: logs/d.log}}}
  train:
    parameters:
      inputs: {data: data/, config: {type: file, default: conf.yaml}}
      outputs: {model: model/, metrics: {type: file, default: metrics/m.json}}
  resume:
    parameters: {inputs: {old: model/}, outputs: {model: model/}}
  label:
    parameters: {inputs: {names: {type: file, default: data/d.bin}}}
  show:
    parameters: {inputs: {metrics: {type: file, default: metrics/m.json}}}
"""


@pytest.fixture
def cube(tmp_path: Path) -> Cube:
    root = tmp_path / "cube"
    make(root, "code.py", "results/r/h/m.json", "workspace/conf.yaml", "workspace/data/d.bin")
    make(root, "workspace/logs/d.log", "workspace/model/m.bin", "workspace/metrics/m.json")
    (root / "mlcube.yaml").write_text(CUBE)
    return load(root)


def trees_of(
    cube: Cube, placed: Iterable[PlacedParameter], paths: HostPaths, image: str = ""
) -> tuple[UploadTree, ...]:
    return cube_trees(cube, needed_data(cube, [placed]), paths, image)


def sent(cube: Cube, *tasks: str) -> set[str]:
    root = "~/.mlcube-remote"
    placed = [
        item for task in tasks for item in place_parameters(cube.tasks[task], cube, HOST, root=root)
    ]
    (tree,) = trees_of(cube, placed, host_paths(HOST, cube, "job", root=root, home="~"))
    assert tree.mirror
    return sent_by_rsync(tree.local, list(tree.rules))


ALWAYS = {"code.py", "mlcube.yaml", "workspace/conf.yaml"}


@pytest.mark.parametrize(
    ("tasks", "more"),
    [
        (["download"], set()),
        (["train"], {"workspace/data/d.bin"}),
        (["download", "train"], {"workspace/data/d.bin"}),
        (["download", "label"], {"workspace/data/d.bin"}),
        (["train", "show"], {"workspace/data/d.bin"}),
        (["resume"], {"workspace/model/m.bin"}),
    ],
)
def test_results_stay_and_needed_inputs_go(cube: Cube, tasks: list[str], more: set[str]) -> None:
    assert sent(cube, *tasks) == ALWAYS | more


def test_an_output_of_an_earlier_task_that_does_not_exist_here_is_not_sent(cube: Cube) -> None:
    (cube.root / "workspace/data/d.bin").unlink()
    (cube.root / "workspace/data").rmdir()
    placed = [
        item
        for task in ("download", "train", "label")
        for item in place_parameters(cube.tasks[task], cube, HOST, root="~/r")
    ]
    (tree,) = trees_of(cube, placed, host_paths(HOST, cube, "job", root="~/r", home="~"))
    assert tree.inputs == (cube.root / "workspace/conf.yaml",)


def test_a_workspace_elsewhere_is_a_tree_of_its_own(cube: Cube, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make(other, "conf.yaml", "model/m.bin")
    cube_elsewhere = load(cube.root, workspace=other)
    placed = place_parameters(cube_elsewhere.tasks["train"], cube_elsewhere, HOST, root="~/r")
    paths = host_paths(HOST, cube_elsewhere, "job", root="~/r", home="~")
    first, second = trees_of(cube_elsewhere, placed, paths)
    assert (first.mirror, second.mirror) == (True, False)
    assert second.remote == paths.workspace
    assert paths.workspace.startswith("~/r/workspaces/other-")
    assert sent_by_rsync(second.local, list(second.rules)) == {"conf.yaml"}
    code = ALWAYS - {"workspace/conf.yaml"}
    assert sent_by_rsync(first.local, list(first.rules)) == code
    # Nor does it take away what a run without it left there.
    copy = tmp_path / "mirror"
    make(copy, "gone.py", "workspace/kept.bin", "workspace/model/kept.bin")
    arguments = [word.replace(f"host:{first.remote}", str(copy)) for word in first.arguments()]
    subprocess.run(["rsync", *arguments], check=True, capture_output=True)
    left = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert left == {*code, "workspace/kept.bin", "workspace/model/kept.bin"}


def test_nothing_is_deleted_in_the_workspace(cube: Cube, tmp_path: Path) -> None:
    placed = place_parameters(cube.tasks["train"], cube, HOST, root="~/r")
    (tree,) = trees_of(cube, placed, host_paths(HOST, cube, "job", root="~/r", home="~"))
    copy = tmp_path / "mirror"
    make(copy, "gone.py", "workspace/kept.bin", "workspace/deep/kept.bin", "results/r/kept")
    arguments = [word.replace(f"host:{tree.remote}", str(copy)) for word in tree.arguments()]
    subprocess.run(["rsync", *arguments], check=True, capture_output=True)
    left = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert "gone.py" not in left
    assert {"workspace/kept.bin", "workspace/deep/kept.bin", "results/r/kept", "code.py"} <= left


def mirrored(tree: UploadTree, copy: Path) -> dict[str, str]:
    """Let rsync bring the copy of a tree up to date; return path → content of what it then has."""
    arguments = [word.replace(f"host:{tree.remote}", str(copy)) for word in tree.arguments()]
    subprocess.run(["rsync", *arguments], check=True, capture_output=True)
    return {
        path.relative_to(copy).as_posix(): path.read_text()
        for path in copy.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("there", ["other", "cube/other"], ids=["elsewhere", "in the cube"])
def test_a_run_in_another_workspace_does_not_change_the_default_one(
    cube: Cube, tmp_path: Path, there: str
) -> None:
    make(tmp_path / there, "conf.yaml")
    cube_elsewhere = load(cube.root, workspace=tmp_path / there)
    placed = place_parameters(cube_elsewhere.tasks["train"], cube_elsewhere, HOST, root="~/r")
    paths = host_paths(HOST, cube_elsewhere, "job", root="~/r", home="~")
    tree, *_ = trees_of(cube_elsewhere, placed, paths)
    copy = tmp_path / "mirror"
    make(copy, "gone.py", "workspace/made.bin", "workspace/model/m.bin")
    (copy / "workspace/model/m.bin").write_text("newer than the one here")
    left = mirrored(tree, copy)
    assert "gone.py" not in left
    assert "workspace/made.bin" in left
    assert left["workspace/model/m.bin"] == "newer than the one here"


def test_an_input_in_the_default_workspace_is_sent_too(cube: Cube, tmp_path: Path) -> None:
    there = cube.root / "other"
    there.mkdir()
    cube_elsewhere = load(
        cube.root, workspace=there, task_args={"config": "../workspace/conf.yaml"}
    )
    placed = place_parameters(cube_elsewhere.tasks["train"], cube_elsewhere, HOST, root="~/r")
    paths = host_paths(HOST, cube_elsewhere, "job", root="~/r", home="~")
    tree, *_ = trees_of(cube_elsewhere, placed, paths)
    copy = tmp_path / "mirror"
    make(copy, "workspace/made.bin")
    assert {"workspace/made.bin", "workspace/conf.yaml"} <= mirrored(tree, copy).keys()


def test_an_image_that_was_built_in_the_mirror_stays(cube: Cube, tmp_path: Path) -> None:
    paths = host_paths(HOST, cube, "run", root="~/r", home="~")
    placed = place_parameters(cube.tasks["train"], cube, HOST, root="~/r")
    (tree,) = trees_of(cube, placed, paths, image=f"{paths.cube}/img/a[1].sif")
    copy = tmp_path / "mirror"
    kept = {"img/a[1].sif", "img/.a[1].sif.recipe", "img/.a[1].sif.building.node/a[1].sif"}
    make(copy, "img/gone.sif", *kept)
    arguments = [word.replace(f"host:{tree.remote}", str(copy)) for word in tree.arguments()]
    subprocess.run(["rsync", *arguments], check=True, capture_output=True)
    left = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert {name for name in left if name.startswith("img/")} == kept


def test_a_single_file_is_sent_into_its_directory(tmp_path: Path) -> None:
    (tmp_path / "real.bin").write_text("x")
    (tmp_path / "data.bin").symlink_to("real.bin")
    mirror, elsewhere = tmp_path / "mirror", tmp_path / "elsewhere"
    for directory in (mirror, elsewhere):
        directory.mkdir()
    # A task has replaced the file of an earlier upload.
    (mirror / "data.bin").symlink_to(elsewhere)
    arguments = UploadTree(local=tmp_path / "data.bin", remote="/r/data.bin").arguments()
    assert not any(word.startswith("--delete") for word in arguments)
    assert arguments[-1] == "host:/r/"
    subprocess.run(["rsync", *arguments[:-1], f"{mirror}/"], check=True, capture_output=True)
    assert not list(elsewhere.iterdir())
    assert not (mirror / "data.bin").is_symlink()
    assert (mirror / "data.bin").read_text() == "x"
