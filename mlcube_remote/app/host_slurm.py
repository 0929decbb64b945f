# SPDX-License-Identifier: Apache-2.0
"""Apply ``--slurm KEY=VALUE`` to the hosts of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from mlcube_remote.errors import UsageError
from mlcube_remote.inventory.model import Host, Launcher
from mlcube_remote.inventory.slurm import check


def with_slurm(hosts: Iterable[Host], options: Iterable[str]) -> tuple[Host, ...]:
    """Return the hosts, those with ``launcher: slurm`` with the values of the options.

    Options of sbatch in ``extra`` are added to those of the inventory; other values replace them.

    Raises:
        UsageError: An option is wrong, or no host has Slurm.
    """
    given: dict[str, list[str]] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise UsageError(
                f"--slurm {option}: expected KEY=VALUE", hint="for example: --slurm partition=gpu"
            )
        given.setdefault(key, []).append(value)
    hosts = tuple(hosts)
    if not given:
        return hosts
    try:
        checked = check(
            {key: values if key == "extra" else values[-1] for key, values in given.items()}
        )
    except ValueError as problem:
        raise UsageError(f"--slurm {problem}") from None
    if all(host.launcher is not Launcher.SLURM for host in hosts):
        raise UsageError(
            f"--slurm: none of these hosts has Slurm: {', '.join(host.name for host in hosts)}",
            hint="add launcher: slurm to the login node in hosts.yaml",
        )
    return tuple(
        attrs.evolve(host, slurm=_merged(host, checked))
        if host.launcher is Launcher.SLURM
        else host
        for host in hosts
    )


def _merged(host: Host, checked: Mapping[str, Any]) -> Mapping[str, Any]:
    merged = {**host.slurm, **checked}
    if "extra" in checked:
        merged["extra"] = (*host.slurm.get("extra", ()), *checked["extra"])
    return MappingProxyType(merged)
