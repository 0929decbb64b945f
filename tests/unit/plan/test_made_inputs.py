# SPDX-License-Identifier: Apache-2.0
"""Tasks that feed each other in one command: what the host decides when a task begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.cube.load import load
from mlcube_remote.errors import PlanError
from mlcube_remote.facts.probe import HostFacts
from mlcube_remote.inventory.model import LOCAL_HOST, Host
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.job_plan import BuiltTask, JobPlan, make_plan
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.plan.sweep_points import SweepPoint
from mlcube_remote.plan.trials import make_trials

GETTING_STARTED = """
docker: {image: example/x}
tasks:
  download:
    parameters: {inputs: {settings: settings.yaml}, outputs: {data: data/}}
  preprocess:
    parameters:
      inputs: {raw: data/raw.txt}
      outputs: {table: {type: file, default: data/table.csv}}
  train:
    parameters: {inputs: {table: data/table.csv, settings: settings.yaml}}
"""
ALL = ("download", "preprocess", "train")
HOST = Host(name="h", remote_root="/r")
HOSTS = pytest.mark.parametrize("host", [HOST, LOCAL_HOST], ids=["remote", "local"])
PLATFORMS = pytest.mark.parametrize("platform", ["docker", "podman", "apptainer"])
FACTS = HostFacts(
    home="/h",
    root="/r",
    user="me",
    uid="1000",
    machine="x86_64",
    root_id="1",
    rsync="3.2.7",
    kinds={},
)


def request(
    root: Path,
    *tasks: str,
    text: str = GETTING_STARTED,
    host: Host = HOST,
    platform: str | None = None,
    **values: str,
) -> RunRequest:
    (root / "workspace").mkdir(parents=True, exist_ok=True)
    (root / "workspace/settings.yaml").touch()
    (root / "mlcube.yaml").write_text(text)
    cube = load(root, tasks=tasks, task_args=values)
    return RunRequest(cube=cube, hosts=(host,), tasks=tasks, run_id="run", platform=platform)


def planned(run_request: RunRequest) -> tuple[JobPlan, dict[str, BuiltTask]]:
    (job,) = plan_jobs(run_request)
    plan = make_plan(job, FACTS)
    return plan, {task.name: task for task in plan.tasks}


def inputs(words: tuple[str, ...]) -> list[str]:
    return [word for word in words if word.startswith("--") and "=/mlcube_io" in word]


@HOSTS
@PLATFORMS
def test_the_host_decides_on_the_type_of_what_an_earlier_task_makes(
    tmp_path: Path, host: Host, platform: str
) -> None:
    plan, tasks = planned(request(tmp_path, *ALL, host=host, platform=platform))
    commands = tasks["preprocess"].commands
    workspace = plan.paths.workspace
    (late,) = commands.late_inputs
    assert (late.name, late.path) == ("raw", f"{workspace}/data/raw.txt")
    words = {types: inputs(each.run[-1]) for types, each in commands.alternatives.items()}
    assert words == {
        "f": ["--raw=/mlcube_io0/raw.txt", "--table=/mlcube_io0/table.csv"],
        "d": ["--raw=/mlcube_io0", "--table=/mlcube_io1/table.csv"],
    }
    assert inputs(commands.run[-1]) == words["f"], "its name has a suffix"
    assert f"{workspace}/data/raw.txt" not in commands.directories
    assert f"{workspace}/data/raw.txt" in commands.alternatives["d"].directories


def test_what_is_there_from_an_earlier_run_does_not_decide(tmp_path: Path) -> None:
    run_request = request(tmp_path, *ALL)
    (tmp_path / "workspace/data/raw.txt").mkdir(parents=True)
    _, tasks = planned(run_request)
    assert set(tasks["preprocess"].commands.alternatives) == {"f", "d"}


def test_a_task_alone_has_the_type_of_what_is_there(tmp_path: Path) -> None:
    run_request = request(tmp_path, "preprocess", host=LOCAL_HOST)
    (tmp_path / "workspace/data").mkdir()
    (tmp_path / "workspace/data/raw.txt").touch()
    _, tasks = planned(run_request)
    commands = tasks["preprocess"].commands
    assert not commands.late_inputs
    assert "--raw=/mlcube_io0/raw.txt" in commands.run[-1]


TWO = """
docker: {{image: example/x}}
tasks:
  make: {{parameters: {{outputs: {made}}}}}
  use: {{parameters: {{inputs: {used}}}}}
"""


def two(made: str, used: str) -> str:
    return TWO.format(made=made, used=used)


@HOSTS
@pytest.mark.parametrize(
    ("made", "used", "argument"),
    [
        ("{data: data/}", "{data: data}", "--data=/mlcube_io0"),
        ("{data: data/}", "{a: data/sub/, data: data}", "--data=/mlcube_io1"),
        ("{log: {type: file, default: out/log.txt}}", "{data: out}", "--data=/mlcube_io0"),
        (
            "{data: data/}",
            "{data: {type: file, default: data/x.bin}}",
            "--data=/mlcube_io0/x.bin",
        ),
    ],
)
def test_a_type_that_follows_from_the_outputs_is_known(
    tmp_path: Path, host: Host, made: str, used: str, argument: str
) -> None:
    _, tasks = planned(request(tmp_path, "make", "use", text=two(made, used), host=host))
    assert argument in tasks["use"].commands.run[-1]
    assert not tasks["use"].commands.late_inputs


def test_a_file_that_an_earlier_task_must_make_is_required_when_the_task_begins(
    tmp_path: Path,
) -> None:
    text = two("{data: data/}", "{model: {type: file, default: data/model.bin}}")
    plan, tasks = planned(request(tmp_path, "make", "use", text=text))
    (required,) = tasks["use"].late.files
    assert (required.name, required.path) == ("model", f"{plan.paths.workspace}/data/model.bin")
    assert tasks["make"].late.files == ()


def test_a_file_next_to_a_declared_one_may_be_made_too(tmp_path: Path) -> None:
    text = two("{log: {type: file, default: out/log.txt}}", "{model: out/model}")
    _, tasks = planned(request(tmp_path, "make", "use", text=text))
    assert [each.name for each in tasks["use"].commands.late_inputs] == ["model"]


def test_a_file_next_to_one_in_the_workspace_itself_must_exist(tmp_path: Path) -> None:
    text = two("{log: {type: file, default: log.txt}}", "{model: {type: file, default: model}}")
    with pytest.raises(PlanError, match=r"use\.model: input .*workspace/model does not exist"):
        plan_jobs(request(tmp_path, "make", "use", text=text))


def test_a_directory_in_an_output_is_created_when_its_task_begins(tmp_path: Path) -> None:
    text = two("{data: data/}", "{part: data/part/, other: other/}")
    plan, tasks = planned(request(tmp_path, "make", "use", text=text))
    (late,) = tasks["use"].late.directories
    assert late == f"{plan.paths.workspace}/data/part"
    assert tasks["make"].late.directories == ()


def test_paths_on_the_host_are_decided_there_too(tmp_path: Path) -> None:
    text = two("{data: data/}", "{raw: raw}")
    run_request = request(tmp_path, "make", "use", text=text, data="/d/out/", raw="/d/out/raw")
    _, tasks = planned(run_request)
    assert [each.path for each in tasks["use"].commands.late_inputs] == ["/d/out/raw"]


def test_each_type_of_several_inputs_has_its_command(tmp_path: Path) -> None:
    text = two("{data: data/}", "{a: data/a, b: data/b, c: data/c.txt}")
    _, tasks = planned(request(tmp_path, "make", "use", text=text))
    commands = tasks["use"].commands
    assert [each.name for each in commands.late_inputs] == ["a", "b", "c"]
    assert len(commands.alternatives) == 8
    assert inputs(commands.alternatives["fdf"].run[-1]) == [
        *("--a=/mlcube_io0/a", "--b=/mlcube_io1", "--c=/mlcube_io0/c.txt"),
    ]
    assert commands.run == commands.alternatives["ddf"].run


def test_too_many_types_are_refused_with_a_hint_that_works(tmp_path: Path) -> None:
    names = ", ".join(f"p{number}: data/{number}" for number in range(7))
    text = two("{data: data/}", f"{{{names}}}")
    run_request = request(tmp_path, "make", "use", text=text)
    with pytest.raises(PlanError) as caught:
        plan_jobs(run_request)
    assert "7 inputs without a type" in str(caught.value)
    assert caught.value.hint is not None
    override = caught.value.hint.partition("-P ")[2].strip("'")
    cube = load(tmp_path, tasks=["make", "use"], overrides=[override])
    assert plan_jobs(RunRequest(cube=cube, hosts=(HOST,), tasks=("make", "use"), run_id="run"))


def test_a_dry_run_says_what_is_decided_later(tmp_path: Path) -> None:
    tasks, notes = dry_run(request(tmp_path, *ALL))
    assert inputs(tasks[1].run[-1]) == [
        "--raw=/mlcube_io0/raw.txt",
        "--table=/mlcube_io0/table.csv",
    ]
    assert (
        "task preprocess: whether raw is a file or a directory is decided when the task begins, "
        "after download; shown: a file" in notes["h"]
    )
    assert not any("refused" in note for note in notes["h"])


@HOSTS
def test_each_job_of_a_sweep_decides_in_its_own_workspace(tmp_path: Path, host: Host) -> None:
    run_request = request(tmp_path, *ALL, host=host)
    (tmp_path / "workspace/settings.yaml").write_text("lr: 1")
    point = SweepPoint(name="lr-2", values={"lr": "2"})
    trials = make_trials(run_request.cube, [point], ALL)
    (job,) = plan_jobs(
        RunRequest(cube=run_request.cube, hosts=(host,), tasks=ALL, run_id="run", trials=trials)
    )
    plan = make_plan(job, FACTS)
    own = plan.paths.own_workspace
    late = [each.path for task in plan.tasks for each in task.commands.late_inputs]
    assert late == [f"{own}/data/raw.txt", f"{own}/data/table.csv"]


LOG = "log: {type: file, default: data/log.txt}"


@pytest.mark.parametrize(
    ("made", "used", "copied", "may_be_missing"),
    [
        (LOG, "data: data", "data", False),
        ("data: data/", "data: data", "data", True),
        ("data: data/", "labels: data/labels.csv", "data/labels.csv", True),
        (LOG, LOG, None, False),
        ("data: data/", "data: data/absent", None, False),
    ],
    ids=["part", "the same directory", "file in a directory", "the same file", "absent"],
)
def test_what_exists_of_a_made_input_is_copied_for_each_job_of_a_sweep(
    tmp_path: Path, made: str, used: str, copied: str | None, may_be_missing: bool
) -> None:
    text = two(f"{{{made}}}", f"{{{used}, settings: settings.yaml}}")
    run_request = request(tmp_path, "make", "use", text=text)
    (tmp_path / "workspace/settings.yaml").write_text("lr: 1")
    (tmp_path / "workspace/data").mkdir()
    (tmp_path / "workspace/data/labels.csv").touch()
    (tmp_path / "workspace/data/log.txt").touch()
    trials = make_trials(run_request.cube, [SweepPoint(name="a", values={"lr": "2"})], ["use"])
    tasks = ("make", "use")
    (job,) = plan_jobs(
        RunRequest(cube=run_request.cube, hosts=(HOST,), tasks=tasks, run_id="run", trials=trials)
    )
    plan = make_plan(job, FACTS)
    copies = plan.copies.get("use", ())
    assert [each.source for each in copies] == (
        [f"{plan.paths.workspace}/{copied}"] if copied else []
    )
    assert [each.target for each in copies] == (
        [f"{plan.paths.own_workspace}/{copied}"] if copied else []
    )
    assert all(each.may_be_missing is may_be_missing for each in copies)
