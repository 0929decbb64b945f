# SPDX-License-Identifier: Apache-2.0
"""Compare our commands with those recorded from the reference MLCube runners.

The recordings are not in this repository. The test reads them from the directory in
``MLCUBE_REMOTE_CONFORMANCE``, or from ``../shared/conformance`` next to the checkout; without them
it is skipped.

The commands are those of the builder. What a launch adds on purpose (names, labels, a private home
on Singularity) is not part of them: see ``launch_options``, and "Differences from the reference" in
docs/reference/platforms.md.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from mlcube_remote.commands.build import build_all
from mlcube_remote.commands.model import Options, Target, TaskCommands
from mlcube_remote.cube.host_paths import Layout, PathKind
from mlcube_remote.cube.load import load, select_tasks
from mlcube_remote.cube.model import Cube
from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.trust.cube_requests import cube_requests
from mlcube_remote.trust.requests import FULL_TRUST

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(
    os.environ.get("MLCUBE_REMOTE_CONFORMANCE", REPOSITORY.parent / "shared" / "conformance")
)
HOME = "/home/somebody"

# Cases where ours differs on purpose; docs/reference/platforms.md lists each with its reason.
# A listed case that passes fails the test (xfail is strict), and so does an unlisted difference.
DELIBERATE = {
    "-examples-chestxray-chexpert-prep-mlcube-docker-prepare-workspace-c2f8e6bd09",
    "-examples-chestxray-chexpert-prep-mlcube-singularity-prepare-workspace-dca7a5e009",
}

# All cases with --workspace were recorded in one /ws, with directories of earlier cases.
IN_WORKSPACE = {"/ws/predictions", "/ws/labels", "/ws/input_data", "/ws/input_labels"}


def recorded() -> dict[str, Any]:
    path = FOLDER / "cases.json"
    return dict(json.loads(path.read_bytes())) if path.exists() else {"cubes": {}, "cases": []}


RECORDED = recorded()


# The reference refuses these cases and ours accepts them; any other problem is a failure.
EXPECTED = pytest.mark.xfail(reason="deliberate", raises=pytest.fail.Exception)

CASES = [
    pytest.param(
        case,
        id=case["id"],
        marks=[EXPECTED] if case["id"] in DELIBERATE else [],
    )
    for case in RECORDED["cases"]
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cube"


def place(root: Path, case: dict[str, Any]) -> None:
    root.mkdir()
    (root / "mlcube.yaml").write_text(RECORDED["cubes"][case["source"]], encoding="utf-8")
    for name in case["present"]:
        path = root / name
        is_directory = name.endswith("/") or any(
            other.startswith(f"{name}/") for other in case["present"]
        )
        (path if is_directory else path.parent).mkdir(parents=True, exist_ok=True)
        if not is_directory:
            path.write_bytes(b"")
    if case["platform"] == "singularity" and "workspace" not in case["options"]:
        (root / "workspace" / ".image").mkdir(parents=True)  # the image existed


def kind_of(path: str) -> PathKind | None:
    if path in IN_WORKSPACE or Path(path).is_dir():
        return PathKind.DIRECTORY
    return PathKind.FILE if Path(path).exists() else None


def commands(case: dict[str, Any], root: Path) -> TaskCommands:
    options = dict(case["options"])
    cube = load(
        root,
        overrides=case["P"],
        task_args=dict(arg.split("=", 1) for arg in case["task_args"]),
        workspace=options.pop("workspace", None),
        tasks=[case["task"]],
    )
    (task,) = select_tasks(cube, [case["task"]])
    (built,) = build_all(cube, [task], target(case, cube, Options(**options))).tasks
    return built


def target(case: dict[str, Any], cube: Cube, options: Options) -> Target:
    return Target(
        platform=case["platform"],
        layout=Layout(root=str(cube.root), workspace=str(cube.workspace), home=HOME),
        options=options,
        kind_of=kind_of,
        trust=FULL_TRUST,
    )


def filled(argvs: list[list[str]], root: Path) -> list[list[str]]:
    argvs = [[_fill(word, root) for word in argv] for argv in argvs]
    # `cd ROOT ;` in front is the working directory, which ours has in `cwd`.
    return [argv[3:] if argv[:1] == ["cd"] else argv for argv in argvs]


def _fill(text: str, root: Path) -> str:
    return text.replace("{root}", str(root)).replace("{home}", HOME)


@pytest.mark.skipif(not RECORDED["cases"], reason=f"no recorded cases in {FOLDER}")
@pytest.mark.parametrize("case", CASES)
def test_commands_equal_those_of_the_reference(case: dict[str, Any], root: Path) -> None:
    place(root, case)
    if "run_error" in case:
        with pytest.raises(MLCubeRemoteError) as refused:
            commands(case, root)
        assert refused.value.exit_code == 2
        return
    ours = commands(case, root)
    assert [list(argv) for argv in ours.run] == filled(case["run"], root)
    inside = [path for path in ours.creates if path.startswith(str(root))]
    assert inside == sorted(_fill(path, root) for path in case["made"])


@pytest.mark.skipif(not RECORDED["cases"], reason=f"no recorded cases in {FOLDER}")
@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: case["id"])
def test_configure_equals_that_of_the_reference(case: dict[str, Any], root: Path) -> None:
    place(root, case)
    cube = load(root, overrides=case["P"])
    ours = build_all(cube, (), target(case, cube, Options())).image
    assert [list(argv) for argv in ours.configure] == filled(case["configure"], root)
    assert ours.cwd == str(root)


@pytest.mark.skipif(not RECORDED["cubes"], reason="there are no recordings")
def test_requests_of_published_cubes_are_documented(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs/reference/platforms.md").read_text(encoding="utf-8")
    for number, text in enumerate(RECORDED["cubes"].values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "mlcube.yaml").write_text(text, encoding="utf-8")
        for request in cube_requests(load(folder)):
            what = re.sub(r"\.\./$", "../project", request.what)
            assert f"| {what}" in page
