# SPDX-License-Identifier: Apache-2.0
"""make_venv.sh on machines with different Pythons; fake programs record their calls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Machine

SCRIPT = Path(__file__).parents[3] / "scripts" / "make_venv.sh"
ROOT, USER = "echo 0", "echo 1000"
FITS, TOO_OLD = "exit 0", '[ "$1" = -m ]'


def venv_calls(machine: Machine) -> list[str]:
    return [call for call in machine.calls if " -m venv " in call]


def test_a_suitable_python_is_used_and_nothing_is_installed(machine: Machine) -> None:
    machine.has("python3", FITS).has("python3.12", FITS).has("apt-get").has("id", ROOT)
    assert machine.run(SCRIPT, "a folder").returncode == 0
    assert venv_calls(machine) == ["python3 -m venv a folder"]
    assert not any(call.startswith("apt-get") for call in machine.calls)


def test_a_python_that_is_too_old_is_skipped(machine: Machine) -> None:
    machine.has("python3", TOO_OLD).has("python3.11", FITS)
    assert machine.run(SCRIPT, "folder").returncode == 0
    assert venv_calls(machine) == ["python3.11 -m venv folder"]


def test_a_python_from_the_environment_is_the_only_one_tried(machine: Machine) -> None:
    machine.has("python3", FITS).has("mine", FITS)
    assert machine.run(SCRIPT, "folder", PYTHON="mine").returncode == 0
    assert venv_calls(machine) == ["mine -m venv folder"]


def test_for_debians_python_the_package_with_ensurepip_is_installed(machine: Machine) -> None:
    installed = machine.bin.parent / "installed"
    machine.has("python3", f"[ -e {installed} ]").has("id", ROOT)
    machine.has("apt-get", f'case $1 in install) : >"{installed}" ;; esac')
    done = machine.run(SCRIPT, "folder")
    assert (done.returncode, done.stderr) == (0, "")
    assert "apt-get install -y -qq --no-install-recommends python3-venv" in machine.calls
    assert venv_calls(machine) == ["python3 -m venv folder"]


@pytest.mark.parametrize("programs", [(), ("apt-get",)])
def test_without_apt_or_root_one_line_names_what_is_needed(
    machine: Machine, programs: tuple[str, ...]
) -> None:
    machine.has("id", USER).has("sudo", "exit 1")
    for program in programs:
        machine.has(program)
    done = machine.run(SCRIPT, "folder")
    assert done.returncode == 1
    assert done.stderr.startswith("make_venv: Python 3.10 or later with venv is needed")
    assert done.stderr.count("\n") == 1
    assert not any(call.startswith("apt-get") for call in machine.calls)


def test_a_python_from_the_environment_that_is_too_old_is_reported(machine: Machine) -> None:
    machine.has("mine", TOO_OLD).has("id", ROOT).has("apt-get")
    done = machine.run(SCRIPT, "folder", PYTHON="mine")
    assert done.returncode == 1
    assert "make PYTHON=/path/to/python" in done.stderr
