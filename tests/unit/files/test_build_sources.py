# SPDX-License-Identifier: Apache-2.0
"""The digest of what an image is built from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from mlcube_remote.files import build_sources
from mlcube_remote.files.build_sources import digest_build_sources
from mlcube_remote.files.sent_names import SentNames
from mlcube_remote.plan.plan import plan_jobs
from tests.support.plans import probed, request

CUBE = """
name: my cube
docker: {image: example/x, build_context: project, build_strategy: auto}
tasks:
  train:
    parameters:
      inputs: {data: data/}
      outputs: {model: model/}
  test:
    parameters:
      outputs: {report: report/}
"""
DOCKERFILE = "FROM debian\nCOPY train.py lib /opt/\n"

Change = Callable[[Path], object]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "cube"
    files = {
        "mlcube.yaml": CUBE,
        "README.md": "about",
        "workspace/data/x": "1",
        "project/Dockerfile": DOCKERFILE,
        "project/train.py": "train",
        "project/notes.txt": "notes",
        "project/lib/a.py": "a",
        "project/lib/.cache": "kept",
    }
    for name, text in files.items():
        write(root, name, text)
    return root


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def digest(root: Path, task: str = "train") -> str:
    (job,) = plan_jobs(request(root, task))
    return digest_build_sources(probed(job), SentNames())


def test_it_is_the_same_for_all_tasks_and_after_a_copy(root: Path, tmp_path: Path) -> None:
    before = digest(root)
    assert len(before) == 64
    assert digest(root, "test") == before
    root.rename(tmp_path / "other")
    for path in (tmp_path / "other").rglob("*"):
        path.touch()
    assert digest(tmp_path / "other") == before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: write(root, "project/train.py", "TRAIN"),
        lambda root: write(root, "project/lib/a.py", "b"),
        lambda root: write(root, "project/lib/new/deep.py", ""),
        lambda root: (root / "project/lib/a.py").unlink(),
        lambda root: (root / "project/lib/a.py").rename(root / "project/lib/b.py"),
        lambda root: (root / "project/train.py").chmod(0o755),
        lambda root: (root / "project/lib/link").symlink_to("a.py"),
        lambda root: write(root, "project/Dockerfile", f"{DOCKERFILE}USER 1\n"),
        lambda root: write(
            root, "mlcube.yaml", CUBE.replace("project,", "project, build_args: {A: '1'},")
        ),
    ],
    ids=["edit", "edit-below", "new", "gone", "renamed", "mode", "link", "recipe", "argument"],
)
def test_it_changes_with_what_the_build_reads(root: Path, change: Change) -> None:
    before = digest(root)
    change(root)
    assert len(digest(root)) == 64
    assert digest(root) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: write(root, "project/notes.txt", "other notes"),
        lambda root: write(root, "README.md", "more"),
        lambda root: write(root, "workspace/data/x", "2"),
        lambda root: write(root, "mlcube.yaml", CUBE.replace("my cube", "mine")),
        lambda root: (root / "project/train.py").touch(),
    ],
    ids=["not-copied", "outside", "data", "settings", "time"],
)
def test_other_files_do_not_change_it(root: Path, change: Change) -> None:
    before = digest(root)
    change(root)
    assert digest(root) == before


def test_a_build_that_copies_everything(root: Path) -> None:
    write(root, "mlcube.yaml", CUBE.replace("build_context: project", "build_context: ."))
    write(root, "Dockerfile", "FROM debian\nCOPY . /opt/\n")
    write(root, ".mlcubeignore", "*.log\n")
    write(root, ".dockerignore", "project/lib\n")
    before = digest(root)
    for name in ("workspace/data/x", "a.log", "project/lib/a.py", "results/run/out", "mlcube.yaml"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.read_text() + "\n" if path.exists() else "")
        assert digest(root) == before, name
    write(root, "README.md", "more")
    assert digest(root) != before


def test_a_build_that_copies_everything_and_another_workspace(root: Path) -> None:
    write(root, "mlcube.yaml", CUBE.replace("build_context: project", "build_context: ."))
    write(root, "Dockerfile", "FROM debian\nCOPY . /opt/\n")
    (job,) = plan_jobs(request(root, "test"))
    cube = attrs.evolve(job.request.cube, workspace=root / "ws1")
    (job,) = plan_jobs(attrs.evolve(job.request, cube=cube))
    assert digest_build_sources(probed(job), SentNames()) == ""


def test_a_context_beside_the_cube(root: Path) -> None:
    write(root, "mlcube.yaml", CUBE.replace(": project", ": ../project"))
    write(root.parent, "project/Dockerfile", DOCKERFILE)
    write(root.parent, "project/train.py", "1")
    before = digest(root)
    assert len(before) == 64
    write(root.parent, "project/train.py", "2")
    assert digest(root) != before


@pytest.mark.parametrize(
    "settings",
    [
        "docker: {image: example/x}",
        "docker: {image: example/x, build_context: project, build_strategy: always}",
        "docker: {image: example/x, build_context: project, build_strategy: pull}",
        "singularity: {image: x.sif, build_file: project/Dockerfile}",
    ],
)
def test_an_image_that_no_engine_keeps_after_a_build_has_none(root: Path, settings: str) -> None:
    lines = CUBE.splitlines()
    write(root, "mlcube.yaml", "\n".join([lines[1], settings, *lines[3:]]))
    assert digest(root) == ""


def test_what_cannot_be_known_has_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_sources, "MAX_BYTES", 5)
    assert digest(root) == "", "too large"
    monkeypatch.undo()
    write(root, "mlcube.yaml", CUBE.replace("build_context: project", "build_context: ."))
    write(root, "Dockerfile", "FROM debian\nCOPY workspace/data /opt/\n")
    assert digest(root) == "", "what is sent of the workspace depends on the task"
