# SPDX-License-Identifier: Apache-2.0
"""Which inputs must exist, and how the type of each is found."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.inventory.model import LOCAL_HOST
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.job_plan import make_plan
from mlcube_remote.plan.plan import plan_jobs
from tests.support.plans import CUBE, probed, refused, request


def test_a_missing_input_is_reported_with_its_path(root: Path) -> None:
    (root / "workspace/conf.yaml").unlink()
    error = refused(request(root, "train"))
    expected = f"train.config: input {root}/workspace/conf.yaml does not exist"
    assert str(error) == f"{root}/mlcube.yaml:9:29: {expected}"
    assert error.hint == (
        "create it, or give another: config=PATH; if the task can do without it: "
        "--allow-missing=config"
    )
    error = refused(request(root, "train", config="gone"))
    missing = f"train.config: input {root}/workspace/gone does not exist"
    assert str(error) == f"on the command line: {missing}"


def test_a_path_that_begins_elsewhere_gets_the_right_form(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refused(request(root, "train", config="workspace/conf.yaml"))
    assert str(error.hint).startswith("paths begin in the workspace: config=conf.yaml; if ")

    here = tmp_path_factory.mktemp("here")
    (here / "mine.yaml").touch()
    monkeypatch.chdir(here)
    error = refused(request(root, "train", config="mine.yaml"))
    assert "for the one here: config=local:mine.yaml; if " in str(error.hint)


def test_a_missing_input_without_a_type_is_reported_by_the_client(root: Path) -> None:
    text = CUBE.replace("{type: file, default: conf.yaml}", "gone.yaml")
    (root / "mlcube.yaml").write_text(text)
    error = refused(request(root, "train"))
    missing = f"train.config: input {root}/workspace/gone.yaml does not exist"
    assert str(error) == f"{root}/mlcube.yaml:9:29: {missing}"


def test_configure_needs_no_inputs(root: Path) -> None:
    (root / "mlcube.yaml").write_text(CUBE.replace("{type: file, default: conf.yaml}", "gone.yaml"))
    assert plan_jobs(attrs.evolve(request(root, "train"), configure_only=True))


def test_an_input_that_an_earlier_task_makes_is_not_missing(root: Path) -> None:
    assert plan_jobs(request(root, "make", "train"))
    assert plan_jobs(request(root, "train")), "the host may have its data from an earlier run"


UNTYPED = """
docker: {image: example/x}
tasks:
  make: {parameters: {outputs: {table: {type: file, default: table.bin}}}}
  use: {parameters: {inputs: {table: table.bin, more: conf.yaml}}}
"""


def arguments(run_request: RunRequest) -> tuple[str, ...]:
    """Return the arguments of the task ``use``."""
    assert plan_jobs(run_request)
    planned, _ = dry_run(run_request)
    return tuple(word for word in planned[-1].run[-1] if word.startswith(("--table", "--more")))


def test_an_input_without_a_type_has_the_type_of_the_local_path(root: Path, tmp_path: Path) -> None:
    (root / "mlcube.yaml").write_text(UNTYPED)
    (tmp_path / "big").mkdir()
    (tmp_path / "big/file.bin").touch()
    table, more = f"{tmp_path}/big/file.bin", f"{tmp_path}/big"
    expected = ("--table=/mlcube_io0/file.bin", "--more=/mlcube_io1")
    sent = request(root, "use", table=f"local:{table}", more=f"local:{more}")
    assert arguments(sent) == expected
    here = request(root, "use", hosts=(LOCAL_HOST,), table=table, more=more)
    assert arguments(here) == ("--table=/mlcube_io0/file.bin", "--more=/mlcube_io0")
    assert "does not exist" in str(refused(request(root, "use", table="local:/no/where")))


def test_an_input_without_a_type_has_the_type_of_the_output(root: Path) -> None:
    (root / "mlcube.yaml").write_text(UNTYPED)
    expected = ("--table=/mlcube_io0/table.bin", "--more=/mlcube_io0/conf.yaml")
    assert arguments(request(root, "make", "use")) == expected
    assert arguments(request(root, "use")) == expected, "the host may have it from an earlier run"
    expected = ("--table=/mlcube_io0/t", "--more=/mlcube_io1/conf.yaml")
    assert arguments(request(root, "make", "use", table="/on/host/t")) == expected


IN_A_DIRECTORY = """
docker: {image: example/x}
tasks:
  make: {parameters: {outputs: {data: data/}}}
  use: {parameters: {inputs: {table: data/table.bin, more: conf.yaml}}}
"""


def test_a_path_in_an_output_of_an_earlier_run_is_probed_on_the_host(root: Path) -> None:
    (root / "mlcube.yaml").write_text(IN_A_DIRECTORY)
    run_request = request(root, "use")
    assert "--table=/mlcube_io0" in arguments(run_request)
    (job,) = plan_jobs(run_request)
    plan = make_plan(job)
    (path,) = plan.probe_paths
    assert path == f"{plan.paths.workspace}/data/table.bin"
    _, notes = dry_run(run_request)
    assert f"{path} is assumed to be a directory; a run asks the host" in notes["h"]
    (task,) = probed(job, **{path: "f"}).tasks
    assert "--table=/mlcube_io0/table.bin" in task.commands.run[-1]
    (root / "workspace/data").mkdir()
    (root / "workspace/data/table.bin").touch()
    (job,) = plan_jobs(run_request)
    assert make_plan(job).probe_paths == (), "it is on this machine"


def test_the_kind_of_an_input_on_the_host_is_probed(root: Path) -> None:
    (root / "mlcube.yaml").write_text(UNTYPED)
    run_request = request(root, "use", more="$HOME/x")
    assert "--more=/mlcube_io1" in arguments(run_request)
    _, notes = dry_run(run_request)
    assert "~/x is assumed to be a directory; a run asks the host" in notes["h"]
    (job,) = plan_jobs(run_request)
    (task,) = probed(job, **{"/h/x": "f"}).tasks
    assert "--more=/mlcube_io1/x" in task.commands.run[-1]


def test_an_input_on_the_host_is_assumed_to_be_mountable_by_every_engine(root: Path) -> None:
    (root / "mlcube.yaml").write_text(UNTYPED)
    run_request = request(root, "use", platform="podman", more="/d/a:b,c")
    assert "--more=/mlcube_io1/a:b,c" in arguments(run_request)
    _, notes = dry_run(run_request)
    assert "/d/a:b,c is assumed to be a file; a run asks the host" in notes["h"]


def test_an_input_of_this_machine_must_exist(root: Path) -> None:
    assert "does not exist" in str(refused(request(root, "train", config="local:/no/where")))
