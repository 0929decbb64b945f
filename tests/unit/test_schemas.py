# SPDX-License-Identifier: Apache-2.0
"""The JSON Schemas agree with the parsers: no file that is right is marked in an editor."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from mlcube_remote.app.new_cube import SCHEMAS, read_schema
from mlcube_remote.cube.load import load as load_cube
from mlcube_remote.errors import CubeError, InventoryError
from mlcube_remote.inventory.host_fields import CHECKS
from mlcube_remote.inventory.load import load as load_inventory
from mlcube_remote.platforms import SETTINGS, check_setting

ROOT = Path(__file__).parents[2]
VALIDATORS = {name: Draft7Validator(json.loads(read_schema(name))) for name in SCHEMAS}


def fits(name: str, document: Any) -> bool:
    return VALIDATORS[name].is_valid(document)


def reads_cube(tmp_path: Path, text: str) -> bool:
    (tmp_path / "mlcube.yaml").write_text(text)
    try:
        load_cube(str(tmp_path))
    except CubeError:
        return False
    return True


def reads_hosts(tmp_path: Path, text: str) -> bool:
    (tmp_path / "hosts.yaml").write_text(text)
    try:
        load_inventory(tmp_path / "hosts.yaml")
    except InventoryError:
        return False
    return True


def test_the_schemas_are_what_the_script_writes() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "generate_schemas.py"))
    for path, text in script["schemas"]().items():
        assert path.read_text(encoding="utf-8") == text, "write them again: make docs-reference"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name: str) -> None:
    Draft7Validator.check_schema(json.loads(read_schema(name)))


@pytest.mark.parametrize("pattern", ["hosts/*.yaml", "examples/*/mlcube.yaml"])
def test_our_own_files_fit_and_name_the_schema(pattern: str) -> None:
    files = list(ROOT.glob(pattern))
    assert files
    for file in files:
        name = "hosts" if pattern.startswith("hosts") else "mlcube"
        assert list(VALIDATORS[name].iter_errors(yaml.safe_load(file.read_text()))) == [], file
        first = file.read_text().splitlines()[0]
        target = first.removeprefix("# yaml-language-server: $schema=")
        assert (file.parent / target).resolve() == ROOT / f"mlcube_remote/schemas/{name}.json"


RIGHT_CUBES = [
    "tasks: {t: }",
    "tasks: {t: {entrypoint: sh x, parameters: {inputs: {a: , b: x/}}}}",
    "tasks: {t: {parameters: {inputs: {a: {type: file, default: b, opts: ro}}}}}\nnote: 1",
    "kind: file\ntasks: {t: {parameters: {outputs: {a: {type: '${kind}', default: b}}}}}",
    "tasks: {t: }\ndocker: {image: x, --gpus: 2, env_args: {A: 1, B: }, build_strategy: auto}",
    "tasks: {t: }\nplatform: {accelerator_count: 1, host_memory_gb: 4}\ndescription: x",
    "tasks: {t: }\npodman: {image: x, selinux: z, runner: docker}\nsingularity:",
]
WRONG_CUBES = [
    "tasks: {t: }\ndescription: [1]",
    "docker: {image: x}",
    "tasks: {}",
    "tasks: [t]",
    "tasks: {-t: }",
    "tasks: {t: {inputs: {a: b}}}",
    "tasks: {t: {parameters: {inputs: {a: {type: folder}}}}}",
    "tasks: {t: {parameters: {inputs: {a: {opts: rwx}}}}}",
    "tasks: {t: {parameters: {inputs: {a: 5}}}}",
    "tasks: {t: {entrypoint: [sh, x]}}",
    "tasks: {t: }\ndocker: {imag: x}",
    "tasks: {t: }\ndocker: {image: [x]}",
    "tasks: {t: }\ndocker: {build_strategy: never}",
    "tasks: {t: }\nplatform: {accelerator_count: true}",
]


@pytest.mark.parametrize("text", RIGHT_CUBES)
def test_a_cube_that_is_read_fits(tmp_path: Path, text: str) -> None:
    assert reads_cube(tmp_path, text)
    assert fits("mlcube", yaml.safe_load(text))


@pytest.mark.parametrize("text", WRONG_CUBES)
def test_a_cube_that_is_refused_does_not_fit(tmp_path: Path, text: str) -> None:
    assert not reads_cube(tmp_path, text)
    assert not fits("mlcube", yaml.safe_load(text))


RIGHT_HOSTS = [
    "hosts: {'gpu[01-04]': {address: 'gpu[01-04].lab'}, local: {slots: 2}, x: }",
    "defaults: {user: ada, port: 22, env: [A]}\nhosts: {a: {gpus: [0, GPU-x], labels: {n: 1}}}",
    "hosts: {a: {}, b: {docker: {image: x}, env: {A: 1, B: }}}\ngroups: {g: a, h: [g, b]}",
]
WRONG_HOSTS = [
    "hosts: [a]",
    "host: {a: }",
    "hosts: {a: {adress: x}}",
    "hosts: {a: {port: '22'}}",
    "hosts: {a: {port: 0}}",
    "hosts: {a: {password: x}}",
    "hosts: {a: {host_keys: ignore}}",
    "hosts: {a: {gpus: []}}",
    "hosts: {a: {docker: {imag: x}}}",
    "hosts: {a: }\ngroups: {g: 5}",
    "hosts: {a: {env: [A=1]}}",
]


@pytest.mark.parametrize("text", RIGHT_HOSTS)
def test_an_inventory_that_is_read_fits(tmp_path: Path, text: str) -> None:
    assert reads_hosts(tmp_path, text)
    assert fits("hosts", yaml.safe_load(text))


@pytest.mark.parametrize("text", WRONG_HOSTS)
def test_an_inventory_that_is_refused_does_not_fit(tmp_path: Path, text: str) -> None:
    assert not reads_hosts(tmp_path, text)
    assert not fits("hosts", yaml.safe_load(text))


VALUES = st.one_of(
    st.sampled_from(
        ["auto", "ssh", "strict", "docker", "x", "~/x", "/x", "", "accept-new", "paramiko", "1"]
    ),
    st.integers(-1, 70_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.lists(st.sampled_from(["A", "0", 0, 1, "GPU-1"]), max_size=2),
    st.dictionaries(st.sampled_from(["A", "b"]), st.sampled_from(["x", 1, 0.5, True]), max_size=2),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(CHECKS)), VALUES)
def test_a_value_of_a_host_that_is_read_fits(key: str, value: Any) -> None:
    try:
        CHECKS[key](value)
    except (ValueError, TypeError):
        return
    assert fits("hosts", {"hosts": {"a": {key: value}}}), (key, value)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([(name, key) for name, keys in SETTINGS.items() for key in keys]), VALUES)
def test_a_setting_that_is_read_fits(setting: tuple[str, str], value: Any) -> None:
    section, key = setting
    if check_setting(section, key, value) is None:
        assert fits("hosts", {"hosts": {"a": {section: {key: value}}}})
        assert fits("mlcube", {"tasks": {"t": None}, section: {key: value}})
