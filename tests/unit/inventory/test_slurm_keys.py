# SPDX-License-Identifier: Apache-2.0
"""The keys of ``slurm:`` in hosts.yaml are checked, and merged with the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.load import load
from mlcube_remote.inventory.model import Launcher
from mlcube_remote.inventory.slurm import OWN_OPTIONS, check

ROOT = Path(__file__).parents[3]


def read(folder: Path, text: str) -> Any:
    path = folder / "hosts.yaml"
    path.write_text(text)
    return load(path)


def test_values_are_read_as_they_are_written_and_merged_with_the_defaults(tmp_path: Path) -> None:
    inventory = read(
        tmp_path,
        """
defaults: {launcher: slurm, slurm: {partition: gpu, account: 007, time: 8:00:00}}
hosts:
  a:
    slurm:
      {partition: debug, nodes: 2, exclusive: true, modules: [apptainer/1.10, cuda]}
  b: {launcher: setsid}
  c: {slurm: {time: 90, trials_per_job: 8, extra: [--mail-type=END], setup: "umask 007\\n"}}
""",
    )
    hosts = inventory.hosts
    assert [hosts[name].launcher for name in "abc"] == [
        Launcher.SLURM,
        Launcher.SETSID,
        Launcher.SLURM,
    ]
    assert dict(hosts["a"].slurm) == {
        "partition": "debug",
        "account": "007",
        "time": "8:00:00",
        "nodes": 2,
        "exclusive": True,
        "modules": ("apptainer/1.10", "cuda"),
    }
    assert hosts["c"].slurm["time"] == "90"
    assert hosts["c"].slurm["trials_per_job"] == 8
    assert hosts["c"].slurm["extra"] == ("--mail-type=END",)
    assert inventory.hosts["local"].launcher is Launcher.SETSID


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("{trials_per_job: 0}", "trials_per_job: expected a number of trials"),
        ("{trials_per_job: 1001}", "trials_per_job: expected at most 1000 trials"),
        ("{partion: gpu}", "unknown key 'partion' (did you mean 'partition'?)"),
        ("{partition: ''}", "partition: expected one word of text, got ''"),
        ("{partition: 'a b'}", "partition: expected one word of text, got 'a b'"),
        (r'{partition: "a\0"}', r"partition: expected one word of text, got 'a\x00'"),
        ("{partition: -a}", "partition: expected one word of text, got '-a'"),
        ("{time: soon}", "time: expected minutes, H:MM:SS or D-HH:MM:SS, got 'soon'"),
        ("{nodes: 0}", "nodes: expected a number of nodes, got '0'"),
        ("{nodes: 20000}", "nodes: expected at most 10000 nodes, got 20000"),
        ("{exclusive: maybe}", "exclusive: expected true or false, got 'maybe'"),
        ("{modules: ['a; rm -rf x']}", "modules: expected names of modules"),
        ("{setup: [a]}", "setup: expected shell text, got ['a']"),
        ("{extra: mail}", "extra: expected options of sbatch such as --mail-type=END, got 'mail'"),
        ("{extra: ['--output=x']}", "extra: --output: mlcube-remote sets this option itself"),
        ("{extra: ['--outp=x']}", "extra: --outp: mlcube-remote sets this option itself"),
        ("{extra: [-ox]}", "extra: -ox: mlcube-remote sets this option itself"),
        ("[]", "expected a mapping of names to values, got a list"),
    ],
)
def test_wrong_values_name_the_line_and_what_was_expected(
    tmp_path: Path, keys: str, reason: str
) -> None:
    with pytest.raises(InventoryError) as problem:
        read(tmp_path, f"hosts:\n  a:\n    slurm: {keys}\n")
    assert "hosts.yaml:3" in str(problem.value)
    assert f"a: slurm: {reason}" in str(problem.value)


def test_a_launcher_is_one_of_two(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=r"launcher: expected setsid or slurm, got 'pbs'"):
        read(tmp_path, "hosts: {a: {launcher: pbs}}\n")


@given(own=st.sampled_from(OWN_OPTIONS), cut=st.integers(0, 20), value=st.text(max_size=3))
def test_no_beginning_of_an_option_of_ours_gets_through(own: str, cut: int, value: str) -> None:
    name = own[: max(3, len(own) - cut)]
    with pytest.raises(ValueError, match="extra"):
        check({"extra": f"{name}={value}"})


@example(value="0\0", key="partition")
@given(value=st.text(), key=st.sampled_from(["partition", "account", "qos", "gres", "constraint"]))
def test_a_word_is_one_argument_and_no_option(value: str, key: str) -> None:
    try:
        checked = check({key: value})[key]
    except ValueError:
        return
    assert checked == value
    assert not value.startswith("-")
    assert "\0" not in value
    assert "\n" not in value


def test_the_inventory_of_a_cluster_to_copy_is_valid() -> None:
    inventory = load(ROOT / "hosts/hpc.yaml")
    login = inventory.hosts["login"]
    assert (login.launcher, login.slots) == (Launcher.SLURM, 20)
    assert login.slurm["time"] == "8:00:00"
    assert inventory.hosts["viz"].launcher is Launcher.SETSID
    assert yaml.safe_load((ROOT / "hosts/hpc.yaml").read_text())["hosts"]["login"]["launcher"]
