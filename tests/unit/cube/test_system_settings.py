# SPDX-License-Identifier: Apache-2.0
"""``~/mlcube.yaml``: its platforms, their settings, and its mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote import yamlsource
from mlcube_remote.cube import system_settings
from mlcube_remote.cube.system_settings import SystemSettings, UserPlatform
from mlcube_remote.errors import UsageError
from mlcube_remote.platforms import PLATFORMS

# The reference implementation writes this file when its runners are installed.
WRITTEN_BY_MLCUBE = """
runners:
  docker: {pkg: mlcube_docker}
  singularity: {pkg: mlcube_singularity}
platforms:
  docker:
    runner: docker
    image: ${docker.image}
    docker: docker
    env_args: {}
    gpu_args: ''
    cpu_args: ''
    build_args: {}
    build_context: .
    build_file: Dockerfile
    build_strategy: pull
    --network: null
    --security-opt: null
    --gpus: null
    --memory: null
    --cpuset-cpus: null
    --mount_opts: null
  singularity:
    runner: singularity
    image: ${singularity.image}
    image_dir: ${runtime.workspace}/.image
    singularity: singularity
    build_args: --fakeroot
    run_args: ''
    build_file: Singularity.recipe
    --network: null
    --security: null
    --nv: null
    --vm-ram: null
    --vm-cpu: null
    --mount_opts: null
storage: {}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings.yaml"
    monkeypatch.setenv("MLCUBE_SYSTEM_SETTINGS", str(path))
    monkeypatch.chdir(tmp_path)
    return path


def read(file: Path, text: str, name: str) -> UserPlatform:
    file.write_text(text, encoding="utf-8")
    found = system_settings.load().platform(name)
    assert found is not None
    return found


def test_a_missing_file_is_no_error_and_is_not_created(file: Path) -> None:
    found = system_settings.load()
    assert found.names == ()
    assert found.platform("docker") is None
    assert not file.exists()


def test_the_file_is_in_the_home_unless_the_variable_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlcube.yaml").write_text("platforms: {here: {runner: docker}}")
    (tmp_path / "other.yaml").write_text("platforms: {there: {runner: docker}}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLCUBE_SYSTEM_SETTINGS", "")
    assert system_settings.load().names == ("here",)
    monkeypatch.setenv("MLCUBE_SYSTEM_SETTINGS", "~/other.yaml")
    assert system_settings.load().names == ("there",)


@pytest.mark.parametrize("name", ["docker", "singularity"])
def test_the_file_that_mlcube_writes_sets_nothing(file: Path, name: str) -> None:
    found = read(file, WRITTEN_BY_MLCUBE, name)
    assert found.platform == name
    assert found.settings == {}


def test_a_cube_in_the_home_directory_has_no_platforms(file: Path) -> None:
    file.write_text("name: x\nplatform: {accelerator_count: 1}\ntasks: {go: {}}\n")
    assert system_settings.load().names == ()
    assert system_settings.load().platform("docker") is None


@pytest.mark.parametrize("text", ["", "just text", "[1, 2]", "platforms:"])
def test_a_file_without_platforms_has_none(file: Path, text: str) -> None:
    file.write_text(text)
    assert system_settings.load().platform("docker") is None


ENGINES: dict[str, tuple[str, dict[str, Any]]] = {
    # entry "mine" → its platform and its settings
    "runner: docker": ("docker", {}),
    "{runner: docker, docker: sudo docker}": ("docker", {"docker": "sudo docker"}),
    "{runner: docker, docker: podman}": ("podman", {"podman": "podman"}),
    "{runner: docker, docker: sudo /usr/bin/podman}": (
        "podman",
        {"podman": "sudo /usr/bin/podman"},
    ),
    "{runner: singularity, singularity: apptainer}": ("apptainer", {"apptainer": "apptainer"}),
    "{runner: podman, --userns: keep-id}": ("podman", {"--userns": "keep-id"}),
    "{runner: singularity, build_args: ''}": ("singularity", {"build_args": ""}),
    "{runner: singularity, image_dir: '${runtime.root}/../sifs'}": (
        "singularity",
        {"image_dir": "${runtime.root}/../sifs"},
    ),
    "{runner: docker, env_args: {PROXY: '${oc.env:WHO}:${env:WHO}'}}": (
        "docker",
        {"env_args": {"PROXY": "me:me"}},
    ),
}


@pytest.mark.parametrize("entry", ENGINES)
def test_an_entry_is_a_platform_with_settings(
    file: Path, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHO", "me")
    body = entry if entry.startswith("{") else f"{{{entry}}}"
    found = read(file, f"platforms:\n  mine: {body}\n", "mine")
    assert (found.platform, found.settings) == ENGINES[entry]


def test_podman_as_the_executable_of_docker_is_podman(file: Path) -> None:
    text = "platforms:\n  podman: {runner: docker, docker: sudo podman, --memory: 4g}\n"
    found = read(file, text, "podman")
    assert found.platform == "podman"
    assert found.settings == {"podman": "sudo podman", "--memory": "4g"}


def test_a_platform_may_be_a_host(file: Path) -> None:
    text = "platforms:\n  gpu: {runner: remote, host: gpu01, platform: null, inventory: ''}\n"
    found = read(file, text, "gpu")
    assert found.platform == "remote"
    assert found.settings == {"host": "gpu01"}


WRONG = {
    "platforms: [a]": r"settings.yaml:1:1: platforms: expected a mapping",
    "platforms: {x: 5}": r"settings.yaml:1:13: platforms.x: expected a mapping",
    "platforms: {x: {}}": r"settings.yaml:1:13: platforms.x.runner: missing",
    "platforms: {x: {runner: gcp}}": r"settings.yaml:1:17: platforms.x.runner: unknown "
    r"runner 'gcp'",
    "platforms: {x: {runner: [a]}}": r"platforms.x.runner: unknown runner \['a'\]",
    "platforms: {x: {runner: docker, imag: y}}": r":1:33: platforms.x.imag: unknown key "
    r"\(did you mean 'image'\?\)",
    "platforms: {x: {runner: docker, 5: y}}": r"platforms.x.5: unknown key",
    "platforms: {x: {runner: docker, gpu_args: [a]}}": r":1:33: platforms.x.gpu_args: expected "
    r"text",
    'platforms: {x: {runner: docker, gpu_args: "a \'b"}}': r"platforms.x.gpu_args: No closing quot",
    "platforms: {x: {runner: docker, docker: ' '}}": r"platforms.x.docker: expected a program",
    "platforms: {x: {runner: docker, image: '${docker.cpu_args}'}}": r":1:33: image: .*docker",
    "platforms: {x: {runner: docker, image: '${oc.env:NOT_SET}'}}": r"NOT_SET",
    "platforms: {x: {runner: remote, hots: a}}": r"x.hots: unknown key \(did you mean 'host'\?\)",
    "platforms: {x: {runner: remote, host: 5}}": r":1:33: platforms.x.host: expected text, got 5",
    "platforms: {x: 1, x: 2}": r"settings.yaml:1:19: duplicate key",
    "platforms: {": r"settings.yaml:2:1: is not YAML",
}


@pytest.mark.parametrize("text", WRONG)
def test_each_mistake_is_one_line_with_its_position(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(UsageError, match=WRONG[text]) as refused:
        system_settings.load().platform("x")
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_platform_with_the_name_docker_must_have_its_runner(file: Path) -> None:
    file.write_text("platforms:\n  docker:\n    runner: singularity\n")
    with pytest.raises(UsageError, match=r":3:5: .*expected docker or podman") as refused:
        system_settings.load().platform("docker")
    assert refused.value.hint == "give the platform another name"


def test_other_platforms_are_not_checked(file: Path) -> None:
    text = "platforms: {x: {runner: docker}, cloud: {runner: gcp, zone: [1]}, y: null}"
    assert read(file, text, "x").settings == {}
    assert system_settings.load().platform("y") is None
    assert system_settings.load().names == ("x", "cloud", "y")


def test_the_documented_file_is_valid(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    page = Path(__file__).parents[3] / "docs/reference/system-settings.md"
    _, _, rest = page.read_text(encoding="utf-8").partition("```yaml\n")
    file.write_text(rest.partition("```")[0])
    found = {name: system_settings.load().platform(name) for name in system_settings.load().names}
    assert {name: each.platform for name, each in found.items() if each} == {
        "docker": "docker",
        "big": "docker",
        "rootless": "podman",
        "sifs": "singularity",
        "gpu": "remote",
    }


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a '\"${}.:-", max_size=9)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(SCALARS, inner, max_size=2)
)
KEYS = st.sampled_from(["host", "docker", "env_args", "gpu_args", "--memory", "--nv"]) | SCALARS
RUNNERS = st.sampled_from(["docker", "singularity", "podman", "remote"]) | VALUES


@given(
    st.sampled_from(["docker", "apptainer", "mine"]),
    RUNNERS,
    st.dictionaries(KEYS, VALUES, max_size=3),
)
def test_any_platform_is_read_or_refused_in_one_line(
    name: str, runner: Any, entry: dict[Any, Any]
) -> None:
    text = yaml.safe_dump({"platforms": {name: {**entry, "runner": runner}}})
    refused, found = "", None
    try:
        document = yamlsource.parse(text, path=Path("settings.yaml"), error=UsageError)
        found = SystemSettings(document=document).platform(name)
    except UsageError as problem:
        refused = str(problem)
    if found is None:
        assert refused.startswith("settings.yaml:")
        assert "\n" not in refused
    else:
        assert found.platform in {*PLATFORMS, "remote"}


def test_a_file_that_cannot_be_read_is_reported(file: Path) -> None:
    file.mkdir()
    with pytest.raises(UsageError, match=r"settings.yaml: cannot be read: Is a directory"):
        system_settings.load()
