# SPDX-License-Identifier: Apache-2.0
"""What Slurm gets for a job: options of sbatch from the inventory and from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.commands.model import Options
from mlcube_remote.errors import PlanError
from mlcube_remote.inventory.model import Host, Launcher
from mlcube_remote.inventory.slurm import check
from mlcube_remote.plan.assignment import make_job
from mlcube_remote.plan.job_plan import JobPlan, make_plan
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.plan.slurm import batch_job, count_gpus
from tests.support.plans import request

CUBE = """
name: probe
docker: {image: example/x}
singularity: {image: x.sif}
tasks: {a: {parameters: {}}, b: {parameters: {}}}
"""


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    (tmp_path / "mlcube.yaml").write_text(CUBE)
    return tmp_path


NO_OPTIONS = Options()


def plan(
    cube: Path, options: Options = NO_OPTIONS, timeout: int | None = None, **slurm: Any
) -> JobPlan:
    host = Host(
        name="login",
        remote_root="/100% mine",
        platform="apptainer",
        launcher=Launcher.SLURM,
        slurm=check(slurm),
    )
    asked = attrs.evolve(request(cube, "a", "b", hosts=(host,)), options=options, timeout=timeout)
    (spec,) = plan_jobs(asked)
    return make_plan(spec)


def given(planned: JobPlan) -> tuple[str, ...]:
    """Return the options beyond those of every job."""
    assert planned.batch is not None
    return planned.batch.options[6:]


def test_every_job_appends_to_its_log_and_is_never_requeued(cube: Path) -> None:
    planned = plan(cube)
    assert planned.batch is not None
    name = planned.spec.id
    assert planned.batch.options == (
        "--parsable",
        f"--job-name=mlcr-{name}",
        f"--output=/100%% mine/jobs/{name}/supervise.log",
        "--open-mode=append",
        "--signal=B:TERM@60",
        "--no-requeue",
    )
    assert planned.batch.setup == ""


@pytest.mark.parametrize(
    ("options", "timeout", "slurm", "expected"),
    [
        (Options(), None, {"partition": "gpu", "qos": "q"}, ("--partition=gpu", "--qos=q")),
        (Options(), None, {"nodes": "2", "exclusive": "true"}, ("--nodes=2", "--exclusive")),
        (Options(gpus="2"), None, {}, ("--gres=gpu:2",)),
        (Options(gpus="0"), None, {}, ()),
        (Options(gpus="2"), None, {"gres": "gpu:a100:1"}, ("--gres=gpu:a100:1",)),
        (Options(cpu="8"), None, {}, ("--cpus-per-task=8",)),
        (Options(memory="4g"), None, {}, ("--mem=4096M",)),
        (Options(memory="1gb"), None, {}, ("--mem=1024M",)),
        (Options(memory="100"), None, {}, ("--mem=1M",)),
        (Options(), 90, {}, ("--time=8",)),
        (Options(), 90, {"time": "1-00"}, ("--time=1-00",)),
        (Options(), None, {"exclusive": "false", "extra": "--mem=0"}, ("--mem=0",)),
    ],
)
def test_options_of_sbatch(
    cube: Path, options: Options, timeout: int | None, slurm: Any, expected: tuple[str, ...]
) -> None:
    assert given(plan(cube, options, timeout, **slurm)) == expected


def test_modules_are_loaded_before_the_setup(cube: Path) -> None:
    planned = plan(cube, modules="apptainer,cuda/12", setup="export A=1")
    assert planned.batch is not None
    assert planned.batch.setup == (
        "module load apptainer || exit 1\nmodule load cuda/12 || exit 1\nexport A=1\n"
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (Options(gpus="device=0"), "--gpus=device=0: Slurm chooses the GPUs of a job"),
        (Options(gpus="all"), "--gpus=all: Slurm chooses the GPUs of a job"),
        (Options(cpu="0-3"), "--cpu=0-3: Slurm chooses the CPUs of a job"),
        (Options(memory="much"), "--memory=much: expected a size such as 4g"),
    ],
)
def test_what_has_no_meaning_for_slurm_is_refused(
    cube: Path, options: Options, reason: str
) -> None:
    with pytest.raises(PlanError, match=reason):
        plan(cube, options)


def test_engines_with_a_daemon_are_refused(cube: Path) -> None:
    host = Host(name="login", platform="docker", launcher=Launcher.SLURM)
    with pytest.raises(PlanError, match="launcher: slurm works with singularity and apptainer"):
        plan_jobs(request(cube, "a", hosts=(host,)))


def test_slurm_leases_the_gpus_and_says_which_they_are(cube: Path) -> None:
    planned = plan(cube, Options(gpus="2"))
    assert count_gpus(planned.spec) == 0
    commands = planned.tasks[0].commands
    assert "--nv" in commands.run[-1]
    assert not any("CUDA_VISIBLE_DEVICES" in name for name in commands.environment)


def test_limits_of_slurm_are_not_repeated_for_the_container(cube: Path) -> None:
    planned = plan(cube, Options(memory="4g", cpu="2"))
    assert not {"--memory", "--cpus", "--cpuset-cpus"} & set(planned.tasks[0].commands.run[-1])


def test_a_dry_run_shows_what_slurm_would_get(cube: Path) -> None:
    slurm = check({"partition": "gpu", "modules": "apptainer"})
    host = Host(name="login", platform="apptainer", launcher=Launcher.SLURM, slurm=slurm)
    _, notes = dry_run(request(cube, "a", hosts=(host,)))
    shown = "\n".join(notes["login"])
    assert "submitted with: sbatch --parsable" in shown
    assert "--partition=gpu" in shown
    assert "before the tasks, on the compute node: module load apptainer || exit 1" in shown


def test_a_dry_run_shows_what_is_copied_to_the_node(tmp_path: Path) -> None:
    (tmp_path / "mlcube.yaml").write_text(
        "name: probe\nsingularity: {image: x.sif}\n"
        "tasks: {a: {parameters: {inputs: {i: {type: directory, default: in, opts: ro}}, "
        "outputs: {o: {type: directory, default: out}}}}}\n"
    )
    slurm = check({"scratch": "$TMPDIR"})
    host = Host(name="login", platform="apptainer", launcher=Launcher.SLURM, slurm=slurm)
    _, notes = dry_run(request(tmp_path, "a", hosts=(host,)))
    copied = [note.partition(": ")[2] for note in notes["login"] if "copies" in note]
    assert [note.rpartition("/")[2] for note in copied] == [
        "in to $TMPDIR",
        "out to $TMPDIR, and copies back what the task changes",
    ]


def test_other_hosts_get_nothing_of_it(cube: Path) -> None:
    host = Host(name="gpu01", platform="apptainer", slurm=check({"partition": "gpu"}))
    spec = make_job(request(cube, "a", hosts=(host,)), host)
    assert make_plan(spec).batch is None
    assert "--partition=gpu" in batch_job(spec, "/j").options


def test_a_batch_job_of_several_trials_has_time_for_all_of_them(cube: Path) -> None:
    spec = plan(cube, timeout=90).spec
    assert "--time=8" in batch_job(spec, "/j").options
    assert "--time=29" in batch_job(spec, "/j", jobs=8).options


MODULES = 'module load apptainer || exit 1\nexec "$@"'


@pytest.mark.parametrize(
    ("slurm", "builder"),
    [
        ({}, ()),
        ({"image_build": "login", "partition": "gpu"}, ()),
        ({"modules": "apptainer"}, ("/bin/bash", "-l", "-c", MODULES, "bash")),
        (
            {"image_build": "job", "partition": "build", "gres": "gpu:1", "extra": "--mem=0"},
            (
                *("srun", "--job-name=mlcr-image", "--nodes=1", "--ntasks=1", "--input=none"),
                *("--partition=build", "--mem=0"),
            ),
        ),
        (
            {"image_build": "job", "modules": "apptainer"},
            (
                *("srun", "--job-name=mlcr-image", "--nodes=1", "--ntasks=1", "--input=none"),
                *("/bin/bash", "-l", "-c", MODULES, "bash"),
            ),
        ),
    ],
)
def test_where_the_image_is_built(cube: Path, slurm: Any, builder: tuple[str, ...]) -> None:
    assert plan(cube, **slurm).image.builder == builder


def test_the_place_of_a_build_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="image_build: expected login or job, got 'node'"):
        check({"image_build": "node"})


def test_tasks_mount_their_copies_below_a_link_of_the_job(tmp_path: Path) -> None:
    (tmp_path / "mlcube.yaml").write_text(
        "name: probe\nsingularity: {image: x.sif}\n"
        "tasks: {a: {parameters: {outputs: {o: {type: directory, default: out}}}}, "
        "b: {parameters: {}}}\n"
    )
    planned = plan(tmp_path, scratch="${TMPDIR}/x")
    assert planned.batch is not None
    assert planned.batch.scratch == "${TMPDIR}/x"
    commands = planned.tasks[0].commands
    out = f"{planned.paths.workspace}/out"
    link = f"{planned.paths.job_dir}/slurm/scratch"
    assert f"{link}{out}:/mlcube_io0" in commands.run[-1]
    assert commands.scratch.written == (out,)
    assert commands.outputs == ((out, "/mlcube_io0"),), "that is where they are at the end"


@pytest.mark.parametrize("place", ["/tmp", "$TMPDIR", "${TMPDIR}", "/local/$USER/a b"])
def test_places_for_copies(place: str) -> None:
    assert check({"scratch": place})["scratch"] == place


@pytest.mark.parametrize("place", ["", "tmp", "~/x", "$(id)", "${A-b}", "/tmp\n/x", 5])
def test_what_is_no_place_for_copies(place: Any) -> None:
    with pytest.raises(ValueError, match="scratch: expected a path such as"):
        check({"scratch": place})
