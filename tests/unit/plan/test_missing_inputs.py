# SPDX-License-Identifier: Apache-2.0
"""Inputs that do not exist: directories are created, files are errors that can be allowed."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.app.options import CubeOptions, HostOptions, RunOptions, TaskOptions
from mlcube_remote.app.request import make_request
from mlcube_remote.errors import PlanError, UsageError
from mlcube_remote.inventory.model import LOCAL_HOST, Host
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.job_plan import JobPlan
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.plan.requirements import find_empty_inputs
from tests.support import plans
from tests.support.plans import HOST

CUBE = """
docker: {image: example/x}
tasks:
  infer:
    parameters:
      inputs: {INPUTS}
      outputs: {out: out/}
"""
HOSTS = pytest.mark.parametrize("host", [HOST, LOCAL_HOST], ids=["remote", "local"])
PATH = "{type: file, default: WORD}"


def request(root: Path, inputs: str, host: Host = HOST, *allowed: str, **given: str) -> RunRequest:
    (root / "workspace").mkdir(exist_ok=True)
    (root / "mlcube.yaml").write_text(CUBE.replace("INPUTS", inputs))
    usual = plans.request(root, "infer", hosts=(host,), **given)
    return attrs.evolve(usual, allow_missing=frozenset(allowed))


def planned(run_request: RunRequest, **kinds: str) -> JobPlan:
    (job,) = plan_jobs(run_request)
    return plans.probed(job, **kinds)


def words(plan: JobPlan) -> tuple[str, ...]:
    (task,) = plan.tasks
    return task.commands.run[-1]


@HOSTS
@pytest.mark.parametrize("word", ["none", "None", '"null"'])
def test_a_file_that_is_called_nothing_is_not_given(tmp_path: Path, host: Host, word: str) -> None:
    run_request = request(tmp_path, f"checkpoint: {PATH.replace('WORD', word)}", host)
    assert f"--checkpoint=/mlcube_io0/{word.strip(chr(34))}" in words(planned(run_request))
    _, notes = dry_run(run_request)
    assert not any("refused" in note for note in notes[host.name])


def test_nothing_may_be_typed_too(tmp_path: Path) -> None:
    inputs = "checkpoint: {type: file, default: model.bin}"
    run_request = request(tmp_path, inputs, HOST, checkpoint="null")
    assert "--checkpoint=/mlcube_io0/null" in words(planned(run_request))


def test_nothing_without_a_type_is_refused_as_in_mlcube(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"infer\.checkpoint: input .*/null does not exist"):
        plan_jobs(request(tmp_path, 'checkpoint: "null"'))


@HOSTS
@pytest.mark.parametrize("inputs", ["model: {type: file, default: m.bin}", "model: m.bin"])
def test_a_missing_file_names_its_fixes(tmp_path: Path, host: Host, inputs: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_jobs(request(tmp_path, inputs, host))
    assert caught.value.hint == (
        "create it, or give another: model=PATH; if the task can do without it: "
        "--allow-missing=model"
    )
    allowed = request(tmp_path, inputs, host, "model")
    assert "--model=/mlcube_io0/m.bin" in words(planned(allowed))
    assert dry_run(allowed)


def test_what_exists_is_no_file_because_it_may_be_missing(tmp_path: Path) -> None:
    run_request = request(tmp_path, "model: m", HOST, "model")
    (tmp_path / "workspace/m").mkdir()
    assert "--model=/mlcube_io0" in words(planned(run_request))
    run_request = request(tmp_path, "model: m", HOST, "model", model="/on/host/m")
    assert "--model=/mlcube_io0/m" in words(planned(run_request, **{"/on/host/m": "-"}))
    assert "--model=/mlcube_io0" in words(planned(run_request, **{"/on/host/m": "d"}))


def test_what_has_to_be_sent_may_not_be_missing(tmp_path: Path) -> None:
    inputs = "model: {type: file, default: m.bin}"
    run_request = request(tmp_path, inputs, HOST, "model", model="local:/no/where")
    with pytest.raises(PlanError) as caught:
        plan_jobs(run_request)
    assert caught.value.hint == "create it, or give another: model=PATH"


@HOSTS
@pytest.mark.parametrize("value", ["data/", "/no/where/data/"])
def test_a_missing_directory_is_created_with_a_warning(
    tmp_path: Path, host: Host, value: str
) -> None:
    run_request = request(tmp_path, "data: data/", host, data=value)
    plan = planned(run_request, **{"/no/where/data": "-"})
    (warning,) = find_empty_inputs(plan, plan.kinds)
    shown = tmp_path / "workspace" / "data" if value == "data/" else value.rstrip("/")
    assert warning == f"infer.data: {shown} does not exist; the task gets an empty directory"
    (task,) = plan.tasks
    assert any(path.endswith("data") for path in task.commands.directories)


MAKER = """
docker: {image: example/x}
tasks:
  fetch: {parameters: {outputs: {data: data/}}}
  infer:
    parameters:
      inputs: {data: data/, more: {type: file, default: data/more.txt}}
      outputs: {out: out/}
"""


def made_by_fetch(root: Path, *tasks: str, allowed: frozenset[str] = frozenset()) -> RunRequest:
    (root / "workspace").mkdir(exist_ok=True)
    (root / "mlcube.yaml").write_text(MAKER)
    usual = plans.request(root, *tasks, hosts=(LOCAL_HOST,))
    return attrs.evolve(usual, allow_missing=allowed)


def test_what_another_task_makes_must_be_there_before_a_run_on_this_machine(tmp_path: Path) -> None:
    refused = made_by_fetch(tmp_path, "infer")
    with pytest.raises(PlanError, match=r"infer\.data: input .*data does not exist") as caught:
        plan_jobs(refused)
    assert caught.value.hint == (
        "run the task that makes it first: --task=fetch,infer; if this task can do without it: "
        "--allow-missing=data"
    )
    assert dry_run(refused), "it shows the commands"
    assert plan_jobs(made_by_fetch(tmp_path, "fetch", "infer"))
    assert plan_jobs(made_by_fetch(tmp_path, "infer", allowed=frozenset({"data", "more"})))
    (tmp_path / "workspace/data").mkdir()
    (tmp_path / "workspace/data/more.txt").touch()
    assert plan_jobs(made_by_fetch(tmp_path, "infer"))


def test_a_file_that_the_task_itself_makes_gets_the_usual_hint(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    state = "{type: file, default: state.json}"
    (tmp_path / "mlcube.yaml").write_text(
        "docker: {image: example/x}\ntasks:\n  infer:\n    parameters:\n"
        f"      inputs: {{state: {state}}}\n      outputs: {{after: {state}}}\n"
    )
    with pytest.raises(PlanError) as caught:
        plan_jobs(plans.request(tmp_path, "infer", hosts=(LOCAL_HOST,)))
    assert str(caught.value.hint).startswith("create it, or give another: state=PATH")


def test_a_directory_that_exists_causes_no_warning(tmp_path: Path) -> None:
    run_request = request(tmp_path, "data: data/, there: there/", there="/on/host/")
    (tmp_path / "workspace/data").mkdir()
    plan = planned(run_request, **{"/on/host": "d"})
    assert find_empty_inputs(plan, plan.kinds) == ()
    assert find_empty_inputs(attrs.evolve(plan, kinds={}), {}) == ()


def test_a_name_that_is_no_input_cannot_be_missing(tmp_path: Path) -> None:
    request(tmp_path, "model: m.bin")
    options = RunOptions(
        hosts=HostOptions(names=("local",)),
        cube=CubeOptions(path=str(tmp_path)),
        tasks=TaskOptions(allow_missing=("modle",)),
    )
    with pytest.raises(UsageError) as caught:
        make_request(options)
    assert str(caught.value) == ("--allow-missing=modle: no input of infer (did you mean 'model'?)")
    run_request, _ = make_request(
        attrs.evolve(options, tasks=TaskOptions(allow_missing=("model",)))
    )
    assert run_request.allow_missing == {"model"}
