# SPDX-License-Identifier: Apache-2.0
"""Location of data, plans, and what is rejected before any host is contacted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

from mlcube_remote import yamlsource
from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.commands.model import Options
from mlcube_remote.cube.load import load
from mlcube_remote.cube.model import Cube
from mlcube_remote.cube.system_settings import SystemSettings
from mlcube_remote.errors import MLCubeRemoteError, PlanError, UsageError
from mlcube_remote.facts.probe import HostFacts
from mlcube_remote.files.build_context import context_trees
from mlcube_remote.inventory.model import LOCAL_HOST, Host
from mlcube_remote.plan import requirements as require
from mlcube_remote.plan.host_paths import cube_directory, host_paths
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.plan.job_plan import JobPlan, make_plan
from mlcube_remote.plan.placement import DataLocation, place_parameters
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.runs.ids import client_id, container_name, is_run_id, new_run_id, slug
from mlcube_remote.secret import Secret
from mlcube_remote.trust.requests import FULL_TRUST, NO_TRUST

CUBE = """
name: my cube
docker: {image: example/x}
tasks:
  make:
    parameters: {outputs: {data: data/}}
  train:
    parameters:
      inputs: {data: data/, config: {type: file, default: conf.yaml}}
      outputs: {model: model/}
"""
HOST = Host(name="h", remote_root="/r")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "cube"
    (folder / "workspace").mkdir(parents=True)
    (folder / "workspace/conf.yaml").write_text("x")
    (folder / "mlcube.yaml").write_text(CUBE)
    return folder


def request(
    root: Path,
    *tasks: str,
    hosts: tuple[Host, ...] = (HOST,),
    platform: str | None = None,
    **values: str,
) -> RunRequest:
    cube = load(root, tasks=tasks, task_args=values)
    return RunRequest(
        cube=cube, hosts=hosts, tasks=tasks, run_id="run", platform=platform, trust=FULL_TRUST
    )


def probed(job: JobSpec, **kinds: str) -> JobPlan:
    """Return the plan of a job whose host has these paths."""
    facts = HostFacts(
        home="/h",
        root="/r",
        user="me",
        uid="1000",
        machine="x86_64",
        root_id="1",
        rsync="3.2.7",
        kinds=kinds,
    )
    return make_plan(job, facts)


def train(root: Path, **values: str) -> Cube:
    return load(root, tasks=["train"], task_args=values)


@pytest.mark.parametrize(
    ("value", "where", "seen_by_builder"),
    [
        ("data/x", DataLocation.WORKSPACE, "data/x"),
        ("../code.py", DataLocation.WORKSPACE, "../code.py"),
        ("${runtime.root}/code.py", DataLocation.WORKSPACE, "${runtime.root}/code.py"),
        ("/data/imagenet", DataLocation.HOST, "/data/imagenet"),
        ("~/x", DataLocation.HOST, "~/x"),
        ("$HOME/x", DataLocation.HOST, "$HOME/x"),
        ("remote:/data/x", DataLocation.HOST, "/data/x"),
        ("remote:~/x", DataLocation.HOST, "~/x"),
    ],
)
def test_a_value_determines_where_its_data_is(
    root: Path, value: str, where: DataLocation, seen_by_builder: str
) -> None:
    cube = train(root, config=value)
    placed = {
        item.parameter.name: item
        for item in place_parameters(cube.tasks["train"], cube, HOST, root="/r")
    }
    assert placed["config"].where is where
    assert placed["config"].parameter.value == seen_by_builder
    assert (placed["config"].local is None) == (where is DataLocation.HOST)


def test_data_of_this_machine_gets_a_directory_of_its_own_on_the_host(
    root: Path, tmp_path: Path
) -> None:
    cube = train(root, data=f"local:{tmp_path}/big data/")
    (item,) = (
        item
        for item in place_parameters(cube.tasks["train"], cube, HOST, root="/r")
        if item.parameter.name == "data"
    )
    assert item.where is DataLocation.CLIENT
    assert item.local == tmp_path / "big data"
    assert item.parameter.value.startswith("/r/data/big_data-")
    assert item.parameter.value.endswith("/big data/")
    here = place_parameters(cube.tasks["train"], cube, LOCAL_HOST, root="/r")[0]
    assert here.parameter.value == f"{tmp_path}/big data/"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("../../x", "leaves the cube's directory"),
        ("remote:x", "expected an absolute path after remote:"),
        ("local:", "expected a file or directory after local:"),
        ("local:/", "expected a file or directory after local:"),
    ],
)
def test_invalid_values_are_rejected(root: Path, value: str, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_jobs(request(root, "train", config=value))
    assert message in str(caught.value)
    assert "train.config" in str(caught.value)


def refused(what: RunRequest) -> MLCubeRemoteError:
    with pytest.raises(PlanError) as caught:
        plan_jobs(what)
    return caught.value


@pytest.mark.parametrize(
    ("platform", "options", "expected"),
    [
        ("singularity", Options(memory="4g"), "--memory=4g: it limits only virtual machines"),
        ("singularity", Options(cpu="0-1"), "--cpu=0-1: it limits only virtual machines"),
        ("singularity", Options(security="label=x"), "--security=label=x: it knows uid:, gid:"),
        ("apptainer", Options(security="label=x"), "--security=label=x: it knows uid:, gid:"),
    ],
)
def test_an_option_that_the_platform_ignores_is_rejected(
    root: Path, platform: str, options: Options, expected: str
) -> None:
    asked = attrs.evolve(request(root, "make", platform=platform), options=options)
    error = refused(asked)
    assert str(error).startswith(f"h: {platform} cannot apply {expected}")
    assert "--platform" in str(error.hint)
    assert dry_run(asked)[0], "the commands are shown all the same"


@pytest.mark.parametrize(
    ("platform", "options"),
    [
        ("apptainer", Options(memory="4g", cpu="0", security="seccomp:/x", network="none")),
        ("singularity", Options(security="no-new-privileges", network="none", gpus="1")),
        ("docker", Options(memory="4g", cpu="0", security="label=x")),
    ],
)
def test_an_option_that_may_have_an_effect_is_accepted(
    root: Path, platform: str, options: Options
) -> None:
    assert plan_jobs(attrs.evolve(request(root, "make", platform=platform), options=options))


def test_limits_of_a_virtual_machine_are_accepted_if_there_is_one(root: Path) -> None:
    host = attrs.evolve(HOST, settings={"singularity": {"run_args": "--vm"}})
    asked = request(root, "make", hosts=(host,), platform="singularity")
    (job,) = plan_jobs(attrs.evolve(asked, options=Options(memory="4g")))
    assert not any("--vm-ram" in text for text in probed(job).image.warnings)


def test_an_unknown_platform_is_reported_with_its_host_and_source(root: Path) -> None:
    error = refused(request(root, "make", platform="dcoker"))
    assert str(error) == "h: --platform: unknown platform 'dcoker' (did you mean 'docker'?)"
    listed = request(root, "make", hosts=(attrs.evolve(HOST, platform="slurm"),))
    assert str(refused(listed)) == "h: platform: unknown platform 'slurm'"


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


def arguments(asked: RunRequest) -> tuple[str, ...]:
    """Return the arguments of the task ``use``."""
    assert plan_jobs(asked)
    planned, _ = dry_run(asked)
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
    asked = request(root, "use")
    assert "--table=/mlcube_io0" in arguments(asked)
    (job,) = plan_jobs(asked)
    plan = make_plan(job)
    (path,) = plan.probe_paths
    assert path == f"{plan.paths.workspace}/data/table.bin"
    _, notes = dry_run(asked)
    assert f"{path} is assumed to be a directory; a run asks the host" in notes["h"]
    (task,) = probed(job, **{path: "f"}).tasks
    assert "--table=/mlcube_io0/table.bin" in task.commands.run[-1]
    (root / "workspace/data").mkdir()
    (root / "workspace/data/table.bin").touch()
    (job,) = plan_jobs(asked)
    assert make_plan(job).probe_paths == (), "it is on this machine"


def test_the_kind_of_an_input_on_the_host_is_probed(root: Path) -> None:
    (root / "mlcube.yaml").write_text(UNTYPED)
    asked = request(root, "use", more="$HOME/x")
    assert "--more=/mlcube_io1" in arguments(asked)
    _, notes = dry_run(asked)
    assert "~/x is assumed to be a directory; a run asks the host" in notes["h"]
    (job,) = plan_jobs(asked)
    (task,) = probed(job, **{"/h/x": "f"}).tasks
    assert "--more=/mlcube_io1/x" in task.commands.run[-1]


def test_an_input_on_the_host_is_assumed_to_be_mountable_by_every_engine(root: Path) -> None:
    (root / "mlcube.yaml").write_text(UNTYPED)
    asked = request(root, "use", platform="podman", more="/d/a:b,c")
    assert "--more=/mlcube_io1/a:b,c" in arguments(asked)
    _, notes = dry_run(asked)
    assert "/d/a:b,c is assumed to be a file; a run asks the host" in notes["h"]


def test_an_input_of_this_machine_must_exist(root: Path) -> None:
    assert "does not exist" in str(refused(request(root, "train", config="local:/no/where")))


def test_a_dry_run_rejects_missing_local_data(root: Path) -> None:
    text = CUBE.replace("default: conf.yaml", "default: 'local:/no/where'")
    (root / "mlcube.yaml").write_text(text)
    with pytest.raises(PlanError) as caught:
        dry_run(request(root, "train"))
    missing = "train.config: input /no/where does not exist"
    assert str(caught.value) == f"{root}/mlcube.yaml:9:29: {missing}"
    assert caught.value.hint == "create it, or give another: config=PATH"
    asked = attrs.evolve(request(root, "train"), configure_only=True)
    assert dry_run(asked)[0], "an image needs no inputs"


@pytest.mark.parametrize("platform", ["docker", "podman"])
def test_a_build_context_beside_the_cube_is_sent(root: Path, tmp_path: Path, platform: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    settings = "image: x, build_strategy: auto, build_context: ../project"
    (root / "mlcube.yaml").write_text(CUBE.replace("image: example/x", settings))
    asked = request(root, "make", platform=platform)
    (job,) = plan_jobs(asked)
    assert make_plan(job).image.configure == ((platform, "pull", "x"),), "there is no recipe"
    assert make_plan(job).context is None
    (project / "Dockerfile").touch()
    (project / ".dockerignore").write_text("# data\nbig/\n**/*.pyc\n")
    plan = probed(job)
    assert plan.context is not None
    remote = plan.context.remote
    assert remote.startswith("/r/data/project-")
    assert plan.image.configure == (
        (platform, "build", "-t", "x", "-f", f"{remote}/Dockerfile", remote),
    )
    assert plan.host_recipe == ""
    (tree,) = context_trees(plan.context)
    assert (tree.local, tree.remote, tree.mirror) == (project, remote, True)
    assert "- /big/" in tree.rules
    untrusted = attrs.evolve(asked, trust=NO_TRUST)
    (job,) = plan_jobs(untrusted)
    assert make_plan(job).context is None
    here = request(root, "make", hosts=(LOCAL_HOST,), platform=platform)
    ((item,), _) = dry_run(here)
    assert item.configure[0] == (
        platform,
        "build",
        "-t",
        "x",
        "-f",
        f"{project}/Dockerfile",
        str(project),
    )


def test_a_recipe_outside_the_cube_is_rejected(root: Path, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project/Dockerfile").touch()
    (tmp_path / "x.def").touch()
    text = CUBE.replace("image: example/x", "image: x, build_context: ../project")
    (root / "mlcube.yaml").write_text(text)
    assert plan_jobs(request(root, "make")), "it pulls"
    text = text.replace("image: x", "image: x, build_strategy: auto")
    text = text.replace("build_context: ../project", "build_file: ../project/Dockerfile")
    (root / "mlcube.yaml").write_text(text)
    assert "build_file: '../project/Dockerfile' is outside" in str(refused(request(root, "make")))
    for source, is_sent in (("../x.def", False), ("/x.def", True), ("docker://x", True)):
        sif = f"singularity: {{image: x.sif, build_file: '{source}'}}"
        (root / "mlcube.yaml").write_text(CUBE.replace("docker: {image: example/x}", sif))
        if is_sent:
            assert plan_jobs(request(root, "make"))
        else:
            error = refused(request(root, "make", platform="apptainer"))
            assert "singularity.build_file: '../x.def' is outside" in str(error)


@pytest.mark.parametrize("platform", ["docker", "podman"])
def test_an_absolute_recipe_is_a_path_of_the_host(
    root: Path, tmp_path: Path, platform: str
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "D").touch()
    sections = f"image: x, build_strategy: auto, build_context: {project}, build_file: D"
    (root / "mlcube.yaml").write_text(CUBE.replace("image: example/x", sections))
    asked = request(root, "make", platform=platform)
    (job,) = plan_jobs(asked)
    recipe = f"{project}/D"
    assert make_plan(job).probe_paths == (recipe,)
    ((item,), notes) = dry_run(asked)
    built = (platform, "build", "-t", "x", "-f", recipe, str(project))
    assert item.configure == (built,)
    note = (
        f"the image is assumed to be built from {recipe}; "
        "if the host does not have that file, the image is pulled"
    )
    assert note in notes["h"]

    there = probed(job, **{recipe: "f"})
    assert there.image.configure == (built,)
    require.check_recipe_on_host(there)
    absent = probed(job, **{recipe: "-"})
    assert absent.image.configure == ((platform, "pull", "x"),)
    with pytest.raises(PlanError) as caught:
        require.check_recipe_on_host(absent)
    assert str(caught.value) == (
        f"{root}/mlcube.yaml:3:42: docker.build_context: {recipe} is on this machine, and not on h"
    )
    (project / "D").unlink()
    require.check_recipe_on_host(absent)


def test_a_recipe_that_is_sent_or_not_needed_is_not_probed(root: Path) -> None:
    (root / "mlcube.yaml").write_text(CUBE.replace("image: example/x", "image: x, build_file: /D"))
    (job,) = plan_jobs(request(root, "make"))
    assert make_plan(job).probe_paths == (), "it pulls"
    text = CUBE.replace("image: example/x", "image: x, build_strategy: auto")
    (root / "mlcube.yaml").write_text(text)
    (job,) = plan_jobs(request(root, "make"))
    assert make_plan(job).probe_paths == (), "it is in the cube"


def test_several_hosts_cannot_write_one_path(root: Path) -> None:
    hosts = (HOST, Host(name="i"))
    error = refused(request(root, "make", hosts=hosts, data="local:/tmp/x/"))
    assert "2 hosts would all write /tmp/x" in str(error)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_results_must_be_writable(root: Path) -> None:
    (root / "workspace").chmod(0o500)
    assert "is not writable" in str(refused(request(root, "make")))


def test_results_must_be_writable_also_for_root(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    error = refused(request(root, "make"))
    assert "outputs cannot be written" in str(error)
    assert error.exit_code == 2


def test_the_platform_is_the_requested_one_or_one_of_the_cube(root: Path) -> None:
    (job,) = plan_jobs(request(root, "make"))
    assert job.platform == "docker"
    (job,) = plan_jobs(request(root, "make", hosts=(Host(name="h", platform="podman"),)))
    assert job.platform == "podman"
    assert "unknown platform 'dokcer'" in str(refused(request(root, "make", platform="dokcer")))
    (root / "mlcube.yaml").write_text(
        CUBE.replace("docker: {image: example/x}", "singularity: {image: x.sif}")
    )
    error = refused(request(root, "make", platform="docker"))
    assert "no section for h's platform docker (it has: singularity)" in str(error)
    for section, platform in (("podman", "docker"), ("apptainer", "singularity")):
        text = CUBE.replace("docker: {image: example/x}", f"{section}: {{image: x.sif}}")
        (root / "mlcube.yaml").write_text(text)
        error = refused(request(root, "make", platform=platform))
        expected = f"no section for h's platform {platform} (it has: {section})"
        assert expected in str(error), "a section of the other engine is not enough"


USERS_OWN = """
platforms:
  docker: {runner: docker, docker: sudo docker, env_args: {A: user, B: user, C: user}}
  big: {runner: docker, --memory: 64g, --cpuset-cpus: 0-63}
  mine: {runner: docker, docker: podman, build_strategy: auto, build_file: ../project/D}
  gpu: {runner: remote, host: h}
"""


def own(tmp_path: Path) -> SystemSettings:
    path = tmp_path / "own.yaml"
    path.write_text(USERS_OWN)
    return SystemSettings(document=yamlsource.load(path, error=UsageError))


def test_host_and_cube_override_the_users_own_platform(root: Path, tmp_path: Path) -> None:
    host = Host(name="h", settings={"docker": {"env_args": {"A": "host", "B": "host"}}})
    text = CUBE.replace("image: example/x", "image: x, env_args: {A: cube}")
    (root / "mlcube.yaml").write_text(text)
    asked = attrs.evolve(request(root, "make", hosts=(host,)), system=own(tmp_path))
    ((item,), _) = dry_run(asked)
    (argv,) = item.run
    assert argv[:2] == ("sudo", "docker"), "it applies to the platform of this name"
    assert argv[argv.index("-e") :][:6] == ("-e", "A=cube", "-e", "B=host", "-e", "C=user")
    assert item.configure == (("sudo", "docker", "pull", "x"),)


def test_a_platform_of_the_users_own_is_chosen_by_name(root: Path, tmp_path: Path) -> None:
    def planned(platform: str, **settings: Mapping[str, str]) -> tuple[str, ...]:
        host = Host(name="h", settings=settings)
        asked = request(root, "make", hosts=(host,), platform=platform)
        ((item,), _) = dry_run(attrs.evolve(asked, system=own(tmp_path)))
        return item.run[-1]

    assert {"--memory=64g", "--cpuset-cpus=0-63"} <= {*planned("big")}
    there = planned("big", docker={"--memory": "8g"})
    assert {"--memory=8g", "--cpuset-cpus=0-63"} <= {*there}, "the host overrides it"
    assert planned("mine", docker={"docker": "sudo docker"})[0] == "podman"


def test_all_checks_use_the_users_own_platform(root: Path, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "D").touch()
    asked = request(root, "make", platform="mine")
    assert "'../project/D' is outside" in str(refused(attrs.evolve(asked, system=own(tmp_path))))
    asked = attrs.evolve(request(root, "make", platform="gpu"), system=own(tmp_path))
    error = refused(asked)
    assert "h: --platform: unknown platform 'gpu'" in str(error)
    assert error.hint == ("expected one of: docker, podman, singularity, apptainer, big, mine, gpu")


def test_each_of_several_hosts_has_its_own_results(root: Path) -> None:
    hosts = (HOST, Host(name="i"), LOCAL_HOST)
    jobs = plan_jobs(request(root, "make", hosts=hosts))
    assert [job.results for job in jobs] == [
        root / "results/run/h",
        root / "results/run/i",
        None,
    ]


def pulled(job: JobSpec, *, results: Path | None) -> dict[str, str]:
    found = probed(attrs.evolve(job, results=results)).folders
    return {
        f"{folder.remote}/{item.path}": str(folder.target)
        for folder in found
        for item in folder.outputs
    }


def test_outputs_are_downloaded_from_where_tasks_write_them(root: Path, tmp_path: Path) -> None:
    (job,) = plan_jobs(request(root, "make"))
    room = f"/r/{cube_directory(job.request.cube)}"
    assert pulled(job, results=None) == {f"{room}/workspace/data": str(root / "workspace")}
    assert pulled(job, results=tmp_path) == {f"{room}/workspace/data": str(tmp_path)}
    (job,) = plan_jobs(request(root, "make", data="/on/host/"))
    assert pulled(job, results=None) == {}
    (job,) = plan_jobs(request(root, "make", data=f"local:{tmp_path}/back/"))
    (where,) = pulled(job, results=None).values()
    assert where == str(tmp_path)
    (job,) = plan_jobs(request(root, "make", data="../beside/"))
    assert pulled(job, results=tmp_path) == {f"{room}/beside": str(tmp_path / "cube")}


def test_a_dry_run_has_an_entry_for_each_host_and_task(root: Path) -> None:
    hosts = (HOST, LOCAL_HOST)
    planned, notes = dry_run(request(root, "make", "train", hosts=hosts))
    assert [(item.host, item.task) for item in planned] == [
        ("h", "make"),
        ("h", "train"),
        ("local", "make"),
        ("local", "train"),
    ]
    assert notes["h"][0].startswith(f"sync {root} to /r/cubes/my_cube-")
    assert notes["h"][0].endswith(f"(at most 2 files, {len(CUBE) + 1} B)")
    assert notes["local"] == ()
    assert planned[2].creates == (f"{root}/workspace/data",)


def test_a_dry_run_reports_why_a_run_would_be_rejected(root: Path) -> None:
    (planned,), notes = dry_run(request(root, "train", config="gone.yaml"))
    assert planned.run
    missing = f"train.config: input {root}/workspace/gone.yaml does not exist"
    assert notes["h"][1:] == (f"would be refused: on the command line: {missing}",)


def test_a_dry_run_of_configure_runs_no_task(root: Path) -> None:
    (root / "mlcube.yaml").write_text(CUBE.replace("{type: file, default: conf.yaml}", "gone.yaml"))
    asked = attrs.evolve(request(root, "train"), configure_only=True)
    (planned,), notes = dry_run(asked)
    assert planned.task is None
    assert planned.configure == (("docker", "pull", "example/x"),)
    assert (planned.run, planned.creates, planned.launch) == ((), (), ())
    assert len(notes["h"]) == 1, "what is sent"


def test_variables_come_from_the_host_the_shell_and_the_command_line(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_HERE", "here")
    monkeypatch.delenv("NOT_HERE", raising=False)
    variables = {"FIXED": Secret("1"), "FROM_HERE": None, "NOT_HERE": None, "BOTH": Secret("host")}
    asked = RunRequest(
        cube=load(root),
        hosts=(Host(name="h", env=variables),),
        tasks=("make",),
        run_id="run",
        env={"BOTH": Secret("mine")},
    )
    (job,) = plan_jobs(asked)
    plan = make_plan(job)
    assert plan.env == {"FIXED": Secret("1"), "FROM_HERE": Secret("here"), "BOTH": Secret("mine")}
    assert "mine" not in repr(plan)
    monkeypatch.setenv("FROM_HERE", "a secret of this shell")
    assert "a secret of this shell" not in repr(make_plan(plan_jobs(attrs.evolve(asked))[0]))


def test_names_are_unique() -> None:
    first, second = new_run_id(), new_run_id()
    assert is_run_id(first)
    assert first != second
    assert not is_run_id("latest")
    assert slug("a/b c", of="/x") != slug("a/b c", of="/y")
    assert slug("a/b c", of="/x").startswith("a_b_c-")
    assert slug("..", of="/x").startswith("cube-")
    assert len(client_id()) == 12
    assert container_name("1000", "job", 2) == "mlcr-1000-job-2"


def test_a_path_in_the_cube_has_a_path_in_the_mirror(root: Path) -> None:
    cube = load(root)
    paths = host_paths(HOST, cube, "job", root="/r", home="/h")
    assert paths.mirror(root / "workspace/x", cube) == f"{paths.cube}/workspace/x"
    assert paths.mirror(root / "code", cube) == f"{paths.cube}/code"
    with pytest.raises(ValueError, match="is not mirrored"):
        paths.mirror(Path("/etc"), cube)


@pytest.mark.parametrize("prefix", ["", "local:"])
def test_a_file_in_the_place_of_a_directory_is_rejected(root: Path, prefix: str) -> None:
    path = root / "workspace/conf.yaml"
    error = refused(request(root, "train", data=f"{prefix}{path}" if prefix else "conf.yaml/"))
    assert f"expected a directory, and {path} is a file" in str(error)
    assert "type: file" in str(error.hint)
