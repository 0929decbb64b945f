# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcube_remote.cube.load import load
from mlcube_remote.cube.resolve import resolve
from mlcube_remote.errors import CubeError

CUBE = """\
name: x
version: 1
docker:
  image: repo/${name}:${version}
  cpu_args: --shm-size=2g
  env_args: {A: a, ROOT: "${runtime.root}/r", WS: "${workspace}/w"}
  build_args: {USER: "${oc.env:WHO}", OLD: "${env:WHO}", ELSE: "${oc.env:NOT_SET,else}"}
tasks:
  go:
    parameters:
      inputs:
        a: {default: "${runtime.workspace}/a/"}
        b: {default: "${workspace}", type: directory}
        c: {default: "${workspace}/"}
        d: {default: "${workspace}x", type: file}
        e: {default: "${runtime.root}/e", type: file}
"""


@pytest.fixture(autouse=True)
def cube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlcube.yaml").write_text(CUBE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHO", "me")


def test_interpolations_are_resolved_except_paths_of_the_host() -> None:
    docker = load(allows_variable=lambda _: True).settings["docker"]
    assert docker["image"] == "repo/x:1"
    assert docker["build_args"] == {"USER": "me", "OLD": "me", "ELSE": "else"}
    assert docker["env_args"] == {
        "A": "a",
        "ROOT": "${runtime.root}/r",
        "WS": "${runtime.workspace}/w",
    }


def test_paths_in_the_workspace_become_relative() -> None:
    values = {item.name: item.value for item in load().tasks["go"].parameters}
    assert values == {
        "a": "a/",
        "b": ".",
        "c": "./",
        "d": "${runtime.workspace}x",
        "e": "${runtime.root}/e",
    }


OVERRIDES: list[Any] = [
    (["version=2"], "image", "repo/x:2"),
    (["docker.image=a=b c"], "image", "a=b c"),
    (["docker.image=${name}"], "image", "x"),
    (["docker.cpu_args="], "cpu_args", None),
    (["docker.cpu_args=--gpus '\"device=1,3\"'"], "cpu_args", "--gpus '\"device=1,3\"'"),
    (["docker.env_args={B: b}", "docker.env_args.C=1"], "env_args", {"B": "b", "C": 1}),
    (["docker.docker=sudo docker"], "docker", "sudo docker"),
    (["docker.docker=a", "docker.docker=b"], "docker", "b"),
]


@pytest.mark.parametrize(("overrides", "key", "value"), OVERRIDES)
def test_overrides_replace_values_and_are_kept(overrides: list[str], key: str, value: Any) -> None:
    found = load(overrides=overrides)
    actual: Any = found.settings["docker"].get(key)
    if isinstance(value, dict):
        assert value.items() <= actual.items()
        assert found.overrides["docker"][key] == value
    else:
        assert actual == value
        assert found.overrides.get("docker", {}).get(key) in {value, None}


def test_an_override_may_add_a_section_and_the_runner() -> None:
    found = load(overrides=["singularity.image=x.sif", "runner.image=y"])
    assert found.settings["singularity"] == {"image": "x.sif"}
    assert found.overrides == {"singularity": {"image": "x.sif"}, "runner": {"image": "y"}}


def test_an_override_of_a_parameter() -> None:
    found = load(overrides=["tasks.go.parameters.inputs.a.default=z/"])
    assert found.tasks["go"].parameters[0].value == "z/"


WRONG: list[Any] = [
    (["docker.image"], "-P docker.image: expected KEY=VALUE"),
    (["=x"], "-P =x: expected KEY=VALUE"),
    (["docker..image=x"], "expected KEY=VALUE with a dotted key"),
    (["docker.image=x\0"], "-P docker.image: the value contains a NUL character"),
    (["docker.image=[x"], "-P docker.image=[x: "),
    (["docker.imag=x"], "-P docker.imag: docker.imag: unknown key (did you mean 'image'?)"),
    (["dokcer.image=x"], "-P dokcer: unknown key (did you mean 'docker'?)"),
    (["docker.image=5"], "-P docker.image: docker.image: expected text, got 5"),
    (["tasks.goo.entrypoint=x"], "-P tasks.goo: unknown task (did you mean 'go'?)"),
    (["docker.image=${nothing}"], "-P docker.image: docker.image: Interpolation key 'nothing'"),
    (["docker.image=${oc.env:NOT_SET}"], "Environment variable 'NOT_SET' not found"),
    (["docker=x"], "docker: expected a mapping, got 'x'"),
    (["docker.image=${broken"], "docker.image"),
]


@pytest.mark.parametrize(("overrides", "message"), WRONG)
def test_a_wrong_override_is_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(CubeError) as refused:
        load(overrides=overrides)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_name_is_reported_with_its_position(tmp_path: Path) -> None:
    (tmp_path / "mlcube.yaml").write_text(CUBE.replace("${version}", "${versoin}"))
    with pytest.raises(CubeError, match=r"mlcube.yaml:4:3: docker.image: .*'versoin' not found"):
        load()


BROKEN: list[Any] = [
    ("${broken", "mlcube.yaml:4:3: docker.image: "),
    ("${docker.image}", "mlcube.yaml:4:3: docker.image: "),
    ("${nothing.at.all}", "mlcube.yaml:4:3: docker.image: Interpolation key"),
    ("${unknown:x}", "mlcube.yaml:4:3: docker.image: Unsupported interpolation type unknown"),
]


@pytest.mark.parametrize(("image", "message"), BROKEN)
def test_a_broken_interpolation_is_one_line(tmp_path: Path, image: str, message: str) -> None:
    (tmp_path / "mlcube.yaml").write_text(CUBE.replace("repo/${name}:${version}", image))
    with pytest.raises(CubeError) as refused:
        load()
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["${x}", "${x:-7}", "${1#*=}"])
def test_a_variable_of_a_shell_is_written_with_a_backslash(tmp_path: Path, text: str) -> None:
    def entrypoint_of(written: str) -> Any:
        command = f"sh -c 'echo {written}'"
        cube = {"docker": {"image": "i"}, "tasks": {"t": {"entrypoint": command}}}
        (tmp_path / "mlcube.yaml").write_text(json.dumps(cube))
        return load().tasks["t"].entrypoint

    with pytest.raises(CubeError) as refused:
        entrypoint_of(text)
    assert r"write \${NAME}" in str(refused.value.hint)
    assert entrypoint_of(f"\\{text}") == f"sh -c 'echo {text}'"


def test_a_required_value_must_be_given(tmp_path: Path) -> None:
    (tmp_path / "mlcube.yaml").write_text(CUBE.replace("repo/${name}:${version}", "???"))
    with pytest.raises(CubeError, match=r"mlcube.yaml:4:3: docker.image: expected a value"):
        load()
    assert load(overrides=["docker.image=x"]).settings["docker"]["image"] == "x"


def _refuse(_: str) -> bool:
    return False


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_characters="$?", exclude_categories=["Cs"]))
)
NAMES = st.text("abcdef", min_size=1)
DATA = st.dictionaries(
    NAMES,
    st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)),
)


@settings(deadline=None)  # the first example imports OmegaConf
@given(DATA)
def test_omegaconf_does_not_change_data_without_interpolations(data: dict[str, Any]) -> None:
    plain = resolve(data, [], str, _refuse).data
    resolved = resolve(data, ["zz=1"], str, _refuse)
    through_omegaconf, given_values = resolved.data, resolved.given
    assert given_values == {"zz": 1}
    assert through_omegaconf == {**plain, "zz": 1}
