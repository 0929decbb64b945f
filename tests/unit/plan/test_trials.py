# SPDX-License-Identifier: Apache-2.0
"""Jobs side by side: where each writes, what they share, and which conflicts are rejected."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.app.parse import parse_axes
from mlcube_remote.commands.model import Options
from mlcube_remote.cube.load import load
from mlcube_remote.cube.model import Parameter
from mlcube_remote.errors import PlanError
from mlcube_remote.files.upload import job_trees
from mlcube_remote.inventory.model import LOCAL_HOST, Host
from mlcube_remote.plan.assignment import make_job
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.plan.job_plan import make_plan
from mlcube_remote.plan.placed_job import place_job
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.plan.sweep_points import parse_shard, sweep_points
from mlcube_remote.plan.trials import make_trials
from mlcube_remote.scheduling.queue import host_slots
from mlcube_remote.trust.requests import FULL_TRUST

CUBE = """
name: c
docker: {image: example/x}
tasks:
  make:
    parameters:
      inputs: {config: {type: file, default: conf.yaml}}
      outputs: {data: {type: directory, default: data}, log: {type: file, default: ../log.txt}}
  train:
    parameters:
      inputs:
        data: {default: data}
        code: {type: file, default: ../train.py}
        cache: {type: directory, default: cache, opts: rw}
        config: {type: file, default: conf.yaml}
        base: {type: directory, default: /data/base}
        items: {type: file, default: items.txt}
      outputs: {model: {type: directory, default: model}}
"""
HOST = Host(name="h", remote_root="/r")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "cube"
    (folder / "workspace/cache").mkdir(parents=True)
    (folder / "workspace/conf.yaml").write_text("lr: 1\n")
    (folder / "workspace/items.txt").write_text("a\n")
    (folder / "train.py").write_text("")
    (folder / "mlcube.yaml").write_text(CUBE)
    return folder


def request(root: Path, *sweeps: str, hosts: tuple[Host, ...] = (HOST,)) -> RunRequest:
    cube, tasks = load(root), ("make", "train")
    return RunRequest(
        cube=cube,
        hosts=hosts,
        tasks=tasks,
        run_id="run",
        trust=FULL_TRUST,
        trials=make_trials(cube, sweep_points(parse_axes(sweeps or ["lr=1,2"])), tasks),
    )


def parameters(job: JobSpec) -> dict[str, Parameter]:
    return {
        f"{task}.{item.parameter.name}": item.parameter
        for task, item in place_job(job).task_parameters()
    }


def test_each_job_has_its_own_outputs_and_shares_inputs_read_only(root: Path) -> None:
    job = plan_jobs(request(root))[1]
    plan = make_plan(job)
    paths = plan.paths
    room, mirror = f"/r/trials/{job.id}", paths.workspace
    given = {name: (each.value, each.opts) for name, each in parameters(job).items()}
    assert given == {
        "make.config": (f"{room}/inputs/0/conf.yaml", "ro"),
        "make.data": (f"{room}/workspace/data", None),
        "make.log": (f"{room}/cube/log.txt", None),
        "train.data": (f"{room}/workspace/data", None),
        "train.code": (f"{paths.cube}/train.py", "ro"),
        "train.cache": (f"{room}/copies/0/cache", "rw"),
        "train.config": (f"{room}/inputs/1/conf.yaml", "ro"),
        "train.base": ("/data/base", "ro"),
        "train.items": (f"{mirror}/items.txt", "ro"),
        "train.model": (f"{room}/workspace/model", None),
    }
    make, train = (task.commands for task in plan.tasks)
    assert [(copy.source, copy.target) for copy in train.copies] == [
        (f"{mirror}/cache", f"{room}/copies/0/cache")
    ]
    assert make.copies == ()
    assert f"{mirror}:/mlcube_io5:ro" in " ".join(train.run[-1])
    assert mirror not in train.directories[:1], "the job does not write to the shared workspace"


def test_outputs_are_downloaded_from_the_jobs_own_directory(root: Path) -> None:
    job = plan_jobs(request(root))[0]
    plan = make_plan(job)
    paths = plan.paths
    workspace, cube = plan.folders
    results = root / "results/run/01"
    assert (workspace.remote, workspace.target) == (f"{paths.own_dir}/workspace", results)
    assert (cube.remote, cube.target) == (f"{paths.own_dir}/cube", results / "cube")


def test_jobs_of_this_machine_write_into_the_results(root: Path) -> None:
    job = plan_jobs(request(root, f"base={root}", hosts=(LOCAL_HOST,)))[0]
    results = root / "results/run/01"
    given = {name: each.value for name, each in parameters(job).items()}
    assert given["train.model"] == f"{results}/model"
    assert given["train.items"] == f"{root}/workspace/items.txt"
    (output,) = (item for item in place_job(job).data["train"] if item.is_output)
    assert output.local == results / "model"


def test_the_cube_is_sent_for_all_jobs_and_other_data_for_those_that_use_it(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    what = request(root, f"cache=local:{tmp_path}/other,cache", "lr=1,2,3")
    sent = [{tree.local for tree in job_trees(job)} for job in map(place_job, plan_jobs(what))]
    assert sent == [{root, tmp_path / "other"}] * 3 + [{root}] * 3


def test_an_output_of_one_job_is_sent_if_it_is_the_input_of_another(root: Path) -> None:
    (root / "workspace/first").mkdir()
    what = request(root, "model=first,second", "cache=first")
    trees = [job_trees(job) for job in map(place_job, plan_jobs(what))]
    assert all(root / "workspace/first" in tree.inputs for (tree,) in trees)


def test_jobs_have_names_and_each_attempt_has_an_id(root: Path) -> None:
    what = request(root, hosts=(HOST, Host(name="other", remote_root="/r")))
    first, second = plan_jobs(what)
    assert (first.label, second.label) == ("01@h", "02@other")
    again = make_job(what, HOST, what.trials[0], attempt=2)
    assert len({first.id, second.id, again.id}) == 3
    assert make_job(what, what.hosts[1], what.trials[0]).id == first.id, "on any host"
    assert second.parameters == {"lr": "2"}


def test_a_dry_run_shows_where_jobs_might_go(root: Path) -> None:
    planned, notes = dry_run(request(root, hosts=(HOST, Host(name="g", remote_root="/r"))))
    assert [(item.job, item.host) for item in planned[::2]] == [("01", "h"), ("02", "g")]
    assert notes["01@h"][0].startswith("sync ")


def test_every_host_is_checked(root: Path) -> None:
    odd = Host(name="odd", platform="singularity", remote_root="/r")
    what = request(root, "lr=1", hosts=(HOST, attrs.evolve(odd, platform="nonsense")))
    with pytest.raises(PlanError, match=r"odd: .*unknown platform 'nonsense'"):
        plan_jobs(what)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": Options(mount="rw")}, "--mount=rw: the jobs of a sweep share their inputs"),
        (
            {"detach": True},
            "--detach: 2 jobs for 1 slot: the client must keep running to start the other 1",
        ),
    ],
)
def test_unsupported_options_of_a_pool_are_rejected(
    root: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(PlanError) as caught:
        plan_jobs(attrs.evolve(request(root), **change))  # type: ignore[arg-type] # by name
    assert message in caught.value.message
    if "detach" in change:
        plan_jobs(attrs.evolve(request(root, hosts=(attrs.evolve(HOST, slots=2),)), detach=True))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("/data/model", "train.model: jobs 01 and 02 would both write /data/model"),
        ("local:/tmp/model", "model: 2 jobs would all write /tmp/model"),
    ],
)
def test_jobs_that_would_write_one_path_are_rejected(root: Path, value: str, message: str) -> None:
    cube, tasks = load(root, task_args={"model": value}), ("make", "train")
    what = attrs.evolve(
        request(root),
        cube=cube,
        trials=make_trials(cube, sweep_points(parse_axes(["lr=1,2"])), tasks),
    )
    with pytest.raises(PlanError) as caught:
        plan_jobs(what)
    assert message in caught.value.message
    plan_jobs(request(root, "model=/data/m1,/data/m2"))


def test_a_host_gets_no_more_jobs_than_it_lists_gpus_for(root: Path) -> None:
    def taken(gpus: tuple[str, ...] | None, option: str | None) -> int:
        host = attrs.evolve(HOST, slots=4, gpus=gpus)
        what = attrs.evolve(request(root, hosts=(host,)), options=Options(gpus=option))
        return host_slots(what)[0].slots

    assert taken(("0", "1", "2"), "1") == 3
    assert taken(("0", "1", "2"), "2") == 1
    assert taken(("0", "1", "2"), None) == 4
    assert taken(None, "2") == 4
    with pytest.raises(PlanError, match="h: the job needs 4 GPUs, and the inventory lists 3"):
        taken(("0", "1", "2"), "4")


def test_a_shard_reads_its_piece(root: Path) -> None:
    cube = load(root)
    (trial, _) = make_trials(cube, parse_shard("items=x,y", 2), ("make", "train"))
    job = make_job(attrs.evolve(request(root), trials=(trial,)), HOST, trial)
    assert parameters(job)["train.items"].value.endswith("/inputs/0/items.txt")
    assert trial.files[0].text == "x\n"


def test_names_of_a_hostile_cube_stay_in_the_jobs_directory(root: Path) -> None:
    hostile = """
name: c
docker: {image: x}
tasks:
  ../../../../evil:
    parameters:
      inputs:
        ../../up: {type: file, default: conf.yaml}
        ../own: {type: directory, default: cache, opts: rw}
"""
    (root / "mlcube.yaml").write_text(hostile)
    cube, tasks = load(root), ("../../../../evil",)
    what = RunRequest(
        cube=cube,
        hosts=(HOST,),
        tasks=tasks,
        run_id="run",
        trust=FULL_TRUST,
        trials=make_trials(cube, sweep_points(parse_axes(["lr=2"])), tasks),
    )
    (job,) = plan_jobs(what)
    values = [each.value for each in parameters(job).values()]
    assert len(values) == 2
    assert all(value.startswith(f"/r/trials/{job.id}/") for value in values)
    assert not any(".." in value for value in values)
