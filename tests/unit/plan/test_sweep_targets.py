# SPDX-License-Identifier: Apache-2.0
"""Resolve the names of a sweep for a cube."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlcube_remote.cube.load import load
from mlcube_remote.cube.model import Cube, ParameterType
from mlcube_remote.errors import MLCubeRemoteError, PlanError
from mlcube_remote.plan.sweep_points import SweepPoint, parse_shard, sweep_points
from mlcube_remote.plan.sweep_targets import GeneratedFile, resolve_point

CUBE = """
name: c
docker: {image: example/x}
tasks:
  train:
    parameters:
      inputs:
        data: {default: data/}
        items: {type: file, default: items.txt}
        settings: {type: file, default: train.yaml}
        more: {type: file, default: more.json}
      outputs: {model: model/}
  test:
    parameters:
      inputs: {settings: {type: file, default: train.yaml}}
"""
SETTINGS = """\
lr: 0.1       # falls
steps: 1000
flip: true
name: first
both: 1
layers: [64]
optimizer: {momentum: 0.9}
"""


@pytest.fixture
def cube(tmp_path: Path) -> Cube:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/train.yaml").write_text(SETTINGS)
    (tmp_path / "workspace/more.json").write_text('{"both": 1, "depth": {"x": [1]}}')
    (tmp_path / "mlcube.yaml").write_text(CUBE)
    return load(tmp_path)


def settings(made: GeneratedFile) -> Any:
    return (json.loads if made.name.endswith(".json") else yaml.safe_load)(made.text)


def test_a_parameter_is_an_argument_of_the_task(cube: Cube) -> None:
    aim = resolve_point(
        cube, SweepPoint(name="01", values={"data": "other/", "model": "m/"}), ["train"]
    )
    values = {each.name: each for each in aim.cube.tasks["train"].parameters}
    assert (values["data"].value, values["data"].given) == ("other/", True)
    assert values["data"].type is ParameterType.DIRECTORY
    assert values["model"].value == "m/"
    assert values["settings"] == cube.tasks["train"].parameters[2]
    assert aim.files == ()


@pytest.mark.parametrize(
    ("name", "value", "key", "found"),
    [
        ("lr", "1e-3", "lr", 0.001),
        ("lr", "1", "lr", 1),
        ("lr", '"auto"', "lr", "auto"),
        ("lr", "null", "lr", None),
        ("settings.lr", "0.01", "lr", 0.01),
        ("steps", "10", "steps", 10),
        ("flip", "false", "flip", False),
        ("name", "007", "name", "007"),
        ("optimizer.momentum", "0.5", "optimizer", {"momentum": 0.5}),
        ("settings.optimizer.momentum", "0", "optimizer", {"momentum": 0}),
        ("settings.both", "'['", "both", "["),
        ("name", '"a, b"', "name", "a, b"),
        ("name", "'it''s'", "name", "it's"),
        ("name", '""', "name", ""),
        ("name", '"[1,2]"', "name", "[1,2]"),
        ("name", 'say "hi"', "name", 'say "hi"'),
        ("name", '"hi" and "ho"', "name", '"hi" and "ho"'),
        ("flip", "no", "flip", False),
        ("flip", "null", "flip", None),
        ("flip", '"auto"', "flip", "auto"),
        ("layers", "[64, 32]", "layers", [64, 32]),
        ("layers", "[]", "layers", []),
        ("layers", '"auto"', "layers", "auto"),
        ("optimizer", "{momentum: 0}", "optimizer", {"momentum": 0}),
    ],
)
def test_a_key_of_a_settings_file_is_changed_in_a_copy(
    cube: Cube, name: str, value: str, key: str, found: Any
) -> None:
    (made,) = resolve_point(cube, SweepPoint(name="01", values={name: value}), ["train"]).files
    assert (made.task, made.parameter, made.name) == ("train", "settings", "train.yaml")
    assert settings(made) == {**yaml.safe_load(SETTINGS), key: found}
    assert type(settings(made)[key]) is type(found)


@pytest.mark.parametrize("value", ["auto", "0.1 0.2", "[", "0.1:0.5", "1e"])
def test_a_text_for_a_number_is_refused_with_the_right_form(cube: Cube, value: str) -> None:
    with pytest.raises(PlanError, match="a text, and the file has the number") as caught:
        resolve_point(cube, SweepPoint(name="01", values={"lr": value}), ["train"])
    assert f"lr='\"{value}\"'" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("0.1;0.2", "put commas between values: --sweep lr=0.1,0.2"),
        ("1e-3|1e-2 | 1e-1", "put commas between values: --sweep lr=1e-3,1e-2,1e-1"),
        ("1-3", "a range is --sweep lr=lin:1..3:5, with 5 values"),
        ("1e-4-1e-1", "a range is --sweep lr=lin:1e-4..1e-1:5, with 5 values"),
        ("0.1:0.5", "a range is --sweep lr=lin:0.1..0.5:5, with 5 values"),
        ("2026-11", None),
        ("1/3", None),
        ("auto", None),
    ],
)
def test_the_hint_has_the_numbers_in_the_right_form(
    cube: Cube, value: str, form: str | None
) -> None:
    with pytest.raises(PlanError) as caught:
        resolve_point(cube, SweepPoint(name="01", values={"lr": value}), ["train"])
    hint = str(caught.value.hint)
    assert hint.startswith("expected numbers, as in ")
    assert form in hint if form else "--sweep" not in hint


@pytest.mark.parametrize(
    ("value", "found"),
    [("[0.1]", "a list"), ("{a: 1}", "a mapping"), ("true", "true or false"), ("nan", "not a n")],
)
def test_no_other_value_is_taken_for_a_number(cube: Cube, value: str, found: str) -> None:
    with pytest.raises(PlanError, match=f"{found}.*, and the file has the number") as caught:
        resolve_point(cube, SweepPoint(name="01", values={"lr": value}), ["train"])
    assert str(caught.value.hint).startswith("expected numbers, as in ")


@pytest.mark.parametrize("value", ["[0.1,0.2]", "[0.1, 0.2]", "{0.1,0.2}"])
@pytest.mark.parametrize("name", ["lr", "name", "data"])
def test_brackets_around_the_values_are_refused(cube: Cube, name: str, value: str) -> None:
    with pytest.raises(PlanError, match="brackets around the values") as caught:
        resolve_point(cube, SweepPoint(name="01", values={name: value}), ["train"])
    assert f"--sweep {name}=0.1,0.2" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("name", "value", "message", "hint"),
    [
        ("flip", "ture", "a text, and the file has true or false", "expected true or false, as in"),
        ("flip", "[true]", "a list, and the file has true or false", "expected true or false"),
        ("layers", "[64", "a text, and the file has a list", "expected lists, as in"),
        ("layers", "true", "true or false, and the file has a list", "expected lists"),
        ("optimizer", "adam", "a text, and the file has a mapping", "expected mappings"),
        ("lr", "12:30", "a text, and the file has the number 0.1", "expected numbers"),
    ],
)
def test_a_value_of_another_kind_is_refused(
    cube: Cube, name: str, value: str, message: str, hint: str
) -> None:
    with pytest.raises(PlanError) as caught:
        resolve_point(cube, SweepPoint(name="01", values={name: value}), ["train"])
    assert f"--sweep {name}={value}: {message}" in str(caught.value)
    assert hint in str(caught.value.hint)


def test_a_parameter_in_quotes_may_have_a_comma(cube: Cube) -> None:
    point = SweepPoint(name="01", values={"data": '"a,b/"'})
    aim = resolve_point(cube, point, ["train"])
    assert aim.cube.tasks["train"].parameters[0].value == "a,b/"


def test_several_keys_and_files_can_change_at_once(cube: Cube) -> None:
    values = {"lr": "0.5", "settings.steps": "1", "depth.x": "2"}
    first, second, third = resolve_point(
        cube, SweepPoint(name="01", values=values), ["train", "test"]
    ).files
    assert (settings(first)["lr"], settings(first)["steps"]) == (0.5, 1)
    assert settings(second) == {"both": 1, "depth": {"x": 2}}
    assert (third.task, third.text) == ("test", first.text)


def test_the_file_is_the_one_that_the_point_names(cube: Cube) -> None:
    (cube.workspace / "other.yaml").write_text("lr: 7\nown: 1\n")
    values = {"settings": "other.yaml", "lr": "8"}
    (made,) = resolve_point(cube, SweepPoint(name="01", values=values), ["train"]).files
    assert (made.name, settings(made)) == ("other.yaml", {"lr": 8, "own": 1})


def test_a_settings_file_can_be_anywhere_on_this_machine(cube: Cube, tmp_path: Path) -> None:
    (tmp_path / "far.yml").write_text("far: 1\n")
    values = {"settings": f"local:{tmp_path}/far.yml", "far": "2"}
    (made,) = resolve_point(cube, SweepPoint(name="01", values=values), ["train"]).files
    assert settings(made) == {"far": 2}


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("lrr", "--sweep lrr: unknown parameter 'lrr' (did you mean 'lr'?)", "data, items, sett"),
        ("modle", "unknown parameter 'modle' (did you mean 'model'?)", "settings.lr"),
        ("zzz", "--sweep zzz: unknown parameter 'zzz'", "known: data"),
        ("both", "--sweep both: may be any of more.both, settings.both", "one of these names"),
        ("settings.lrr", "train.yaml has no key 'lrr' (did you mean 'lr'?)", "it has: lr"),
        ("optimizer.mom", "has no key 'mom'", "it has: momentum"),
        ("settings.lr.x", "has no key 'x'", "None"),
        ("data.x", "unknown parameter 'data.x'", "data"),
    ],
)
def test_an_unknown_name_is_reported(cube: Cube, name: str, message: str, hint: str) -> None:
    with pytest.raises(PlanError) as caught:
        resolve_point(cube, SweepPoint(name="01", values={name: "1"}), ["train"])
    assert message in caught.value.message
    assert hint in str(caught.value.hint)


def test_an_invalid_settings_file_is_reported_with_its_line(cube: Cube) -> None:
    (cube.workspace / "train.yaml").write_text("a: 1\na: 2\n")
    with pytest.raises(PlanError, match=r"train\.yaml:2:1: duplicate key"):
        resolve_point(cube, SweepPoint(name="01", values={"lr": "1"}), ["train"])
    (cube.workspace / "train.yaml").write_text("[1]\n")
    with pytest.raises(PlanError, match="unknown parameter 'lr'"):
        resolve_point(cube, SweepPoint(name="01", values={"lr": "1"}), ["train"])


def test_a_shard_is_a_file_with_its_items(cube: Cube) -> None:
    first, second = parse_shard("items=a,b,c", 2)
    aim = resolve_point(cube, second, ["train"])
    assert aim.cube is cube
    assert aim.files == (
        GeneratedFile(task="train", parameter="items", name="items.txt", text="b\nc\n"),
    )
    assert resolve_point(cube, first, ["train"]).files[0].text == "a\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("item", "--shard item: unknown parameter 'item' (did you mean 'items'?)"),
        ("data", "train.data is a directory; expected an input that is a file"),
        ("model", "train.model is an output; expected an input that is a file"),
    ],
)
def test_a_parameter_that_cannot_be_split_is_rejected(cube: Cube, name: str, message: str) -> None:
    (point, _) = parse_shard(f"{name}=a,b", 2)
    with pytest.raises(MLCubeRemoteError) as caught:
        resolve_point(cube, point, ["train"])
    assert message in caught.value.message


def test_a_piece_that_is_too_large_is_rejected(cube: Cube) -> None:
    point = SweepPoint(name="01", values={}, items={"items": ("x" * 5_000_000,)})
    with pytest.raises(PlanError, match="5,000,001 characters"):
        resolve_point(cube, point, ["train"])


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (
            "seed: 7\nsteps: [1]\nleanring: [1, 2]\n",
            r"grid\.yaml:1:1: seed: unknown parameter 'seed'",
        ),
        (
            "- {steps: 1, stpes: 2}\n",
            r"grid\.yaml:1:14: stpes: unknown parameter 'stpes' \(did you mean",
        ),
        (
            "settings.nope: [1]\n",
            r"grid\.yaml:1:1: settings\.nope: .*train\.yaml has no key 'nope'",
        ),
        ("both: [1, 2]\n", r"grid\.yaml:1:1: both: may be any of more\.both, settings"),
    ],
)
def test_an_unknown_name_is_reported_with_its_position_in_the_file(
    cube: Cube, tmp_path: Path, grid: str, message: str
) -> None:
    (tmp_path / "grid.yaml").write_text(grid)
    (point, *_) = sweep_points({}, tmp_path / "grid.yaml")
    with pytest.raises(PlanError, match=message):
        resolve_point(cube, point, ["train"])
