# SPDX-License-Identifier: Apache-2.0
"""The hosts that may have jobs: those of the inventory, and those that runs have reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from mlcube_remote.app.inventory import open_inventory, select_hosts
from mlcube_remote.app.observer import Warn
from mlcube_remote.errors import InventoryError, RecordError, UsageError
from mlcube_remote.formatting import readable_duration
from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.jobs.lookup import reached_hosts
from mlcube_remote.runs.documents import age_of
from mlcube_remote.runs.forgotten_hosts import forget, read_forgotten
from mlcube_remote.runs.store import RUN, Store
from mlcube_remote.suggestions import did_you_mean


def known_hosts(inventory: Inventory, warn: Warn) -> tuple[Host, ...]:
    """Return all hosts that may have jobs: those of the inventory and of recorded runs.

    A host that no run has reached, such as a mistyped one, and one that the user has forgotten are
    not among them.
    """
    forgotten = read_forgotten()
    names = dict.fromkeys(name for name in inventory.hosts if name != "local")
    for reached in _reached(warn):
        if reached.run_id > forgotten.get(reached.host, ""):
            names.setdefault(reached.host)
    hosts: list[Host] = []
    for name in names:
        try:
            hosts += select_hosts(inventory, [name])
        except InventoryError:
            # The host belongs to another inventory, and is asked if that one is named.
            continue
    return tuple(hosts)


def last_runs(names: Iterable[str]) -> dict[str, str]:
    """Return how long ago the newest run of this machine was started on each host."""
    wanted = set(names)
    ages: dict[str, str] = {}
    if not wanted:
        return ages
    for reached in _reached(lambda _: None):
        if reached.host in wanted and reached.host not in ages:
            age = age_of(reached.created)
            if age is not None:
                ages[reached.host] = readable_duration(max(0, int(age)))
    return ages


def reached_names() -> list[str]:
    """Return the hosts that the runs of this machine have reached, newest run first."""
    return list(dict.fromkeys(reached.host for reached in _reached(lambda _: None)))


def forget_host(name: str, inventory: str | None, warn: Warn) -> None:
    """Have a host of earlier runs no longer asked; the records of its runs stay.

    Args:
        name: The host.
        inventory: Path of the inventory, if the user named one.
        warn: Shows which run may still be running there.

    Raises:
        UsageError: The host is in the inventory, or no run was on it.
        RecordError: It cannot be recorded.
    """
    listed = open_inventory(inventory).hosts.get(name)
    if listed is not None and listed.is_local:
        raise UsageError(
            f"{name} is this machine, which is always asked",
            hint="to ask other hosts only: mlcube-remote ps --host=NAMES",
        )
    if listed is not None:
        raise UsageError(
            f"{name} is in the inventory ({listed.source or 'of this machine'})",
            hint="remove it there; a host of the inventory is always asked",
        )
    runs = [reached for reached in _reached(warn) if reached.host == name]
    if not runs:
        known = {reached.host for reached in _reached(warn)}
        raise UsageError(
            f"no run of this machine was on {name}{did_you_mean(name, known)}",
            hint=f"hosts of runs: {', '.join(sorted(known)) or 'none'}",
        )
    for reached in runs:
        if reached.may_run:
            warn(f"run {reached.run_id} may still be running on {name}")
    forget(name, runs[0].run_id)


@attrs.frozen(kw_only=True)
class _Reached:
    """A host that a run has reached."""

    host: str
    run_id: str
    created: str
    """When the run was started, in ISO format."""
    may_run: bool


def _reached(warn: Warn) -> Iterator[_Reached]:
    """Yield the hosts that each recorded run has reached, newest run first."""
    store = Store()
    for run_id in store.runs():
        try:
            created = str((store.read(run_id, RUN) or {}).get("created") or "")
            for host, may_run in reached_hosts(run_id, store).items():
                yield _Reached(host=host, run_id=run_id, created=created, may_run=may_run)
        except RecordError as problem:
            warn(str(problem))
