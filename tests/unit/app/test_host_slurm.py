# SPDX-License-Identifier: Apache-2.0
"""``--slurm KEY=VALUE`` changes what jobs ask Slurm for, on hosts that have it."""

from __future__ import annotations

import pytest

from mlcube_remote.app.host_slurm import with_slurm
from mlcube_remote.app.record import read_options
from mlcube_remote.errors import UsageError
from mlcube_remote.inventory.model import Host, Launcher
from mlcube_remote.inventory.slurm import check

LOGIN = Host(
    name="login",
    launcher=Launcher.SLURM,
    slurm=check({"partition": "gpu", "time": "60", "extra": "--mail-type=END"}),
)
OTHER = Host(name="gpu01")


def test_values_replace_those_of_the_inventory_and_options_are_added() -> None:
    options = ("partition=a", "partition=debug", "extra=--mem=0", "extra=--comment=a=b")
    login, other = with_slurm((LOGIN, OTHER), options)
    assert dict(login.slurm) == {
        "partition": "debug",
        "time": "60",
        "extra": ("--mail-type=END", "--mem=0", "--comment=a=b"),
    }
    assert other == OTHER


def test_without_options_nothing_changes() -> None:
    assert with_slurm((LOGIN, OTHER), ()) == (LOGIN, OTHER)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("gpu", "--slurm gpu: expected KEY=VALUE"),
        ("partion=gpu", "--slurm unknown key 'partion' .did you mean 'partition'"),
        ("time=soon", "--slurm time: expected minutes"),
    ],
)
def test_wrong_options_are_refused(option: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        with_slurm((LOGIN,), (option,))


def test_hosts_without_slurm_are_named() -> None:
    with pytest.raises(UsageError, match="none of these hosts has Slurm: gpu01"):
        with_slurm((OTHER,), ("partition=gpu",))


def test_a_rerun_asks_for_the_same() -> None:
    assert read_options({"slurm": ["partition=gpu"]}).tasks.slurm == ("partition=gpu",)
    assert read_options({}).tasks.slurm == ()
