# SPDX-License-Identifier: Apache-2.0
"""From parsed options to the values that the rooms below take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from mlcube_remote.errors import RecordError, UsageError
from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection

if TYPE_CHECKING:  # a command that begins no run needs none of these
    from mlcube_remote.cube.system_settings import SystemSettings
    from mlcube_remote.dispatch.job import Job, Request
    from mlcube_remote.dispatch.known import KnownRun
    from mlcube_remote.dispatch.sweep import Point
    from mlcube_remote.runs.store import Store


def open_inventory(explicit: str | None, mlcube: str = ".") -> Inventory:
    """Find and read the inventory that the options mean."""
    from mlcube_remote.inventory.locate import open_inventory as read  # noqa: PLC0415 - needs yaml

    cube = Path(mlcube).expanduser()
    return read(explicit, cube if cube.is_dir() else cube.parent)


def select_hosts(
    inventory: Inventory, patterns: Iterable[str], where: Iterable[str] = ()
) -> tuple[Host, ...]:
    """Return the hosts that ``--host`` and ``--where`` name; ``--where`` alone is of all hosts.

    Raises:
        UsageError: None was named.
        InventoryError: One is unknown, or none is left.
    """
    from mlcube_remote.inventory.label_filter import filter_by_labels  # noqa: PLC0415
    from mlcube_remote.inventory.select import select  # noqa: PLC0415 - needs yaml

    conditions = list(where)
    wanted = list(patterns) or (["all"] if conditions else [])
    if not wanted:
        names = ", ".join([*inventory.groups, *inventory.hosts][:12])
        raise UsageError(
            "no host was named: expected --host=NAME",
            hint=f"in the inventory: {names}; or any name of your ~/.ssh/config",
        )
    return filter_by_labels(select(inventory, wanted), conditions, known=inventory.hosts.values())


def through_platform(given: Mapping[str, Any], system: SystemSettings) -> dict[str, Any]:
    """Fill in what a platform says that is a host: ``runner: remote`` in ``~/mlcube.yaml``.

    What the command line says of hosts and inventory wins.

    Raises:
        UsageError: The platform is wrong, or is in turn a host on another one.
    """
    from mlcube_remote.cube.system_settings import REMOTE  # noqa: PLC0415 - only for runs

    found = system.platform(given["platform"]) if given["platform"] else None
    if found is None or found.platform != REMOTE:
        return dict(given)
    engine = found.settings.get("platform")
    inner = system.platform(engine) if engine else None
    if inner is not None and inner.platform == REMOTE:
        raise UsageError(
            f"{found.where}: platforms.{found.name}: platform: {engine} is a host itself",
            hint="expected docker, podman, singularity, apptainer, or a platform of one of these",
        )
    host = found.settings.get("host")
    return {
        **given,
        "platform": engine,
        "hosts": given["hosts"] or ((host,) if host else ()),
        "inventory": given["inventory"] or found.settings.get("inventory"),
    }


@attrs.frozen(kw_only=True)
class Logins:
    """What the user typed for logging in, asked once before anything starts."""

    inventory: Inventory
    password: Secret | None
    passphrase: Secret | None

    @classmethod
    def ask(
        cls, inventory: Inventory, *, password: bool | Secret, passphrase: bool | Secret
    ) -> Logins:
        """Ask for what was announced by ``--ask-password`` and ``--ask-passphrase``.

        What a program has asked for already is taken as it is.
        """

        def known(asked: bool | Secret, what: str) -> Secret | None:
            if isinstance(asked, Secret):
                return asked
            return Secret(click.prompt(what, hide_input=True, err=True)) if asked else None

        return cls(
            inventory=inventory,
            password=known(password, "Login password"),
            passphrase=known(passphrase, "Passphrase of the private keys"),
        )

    def connect(self, host: Host, note: Callable[[str], None] = lambda _: None) -> Connection:
        """Open a connection to a host."""
        from mlcube_remote.transport import connect  # noqa: PLC0415 - imports SSH libraries

        return connect(
            host,
            self.inventory,
            password=self.password,
            passphrase=self.passphrase,
            note=note,
        )


def split_names(values: Iterable[str]) -> tuple[str, ...]:
    """Split ``a,b`` of a repeatable option."""
    names = tuple(name.strip() for value in values for name in value.split(",") if name.strip())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"--task: {', '.join(twice)} is named twice")
    return names


def is_pool(given: Mapping[str, Any]) -> bool:
    """Return whether options ask for jobs that go to whichever host is free."""
    return any(given.get(name) for name in ("sweeps", "sweep_file", "shard"))


def sweep_points(given: Mapping[str, Any], hosts: int) -> tuple[Point, ...]:
    """Return what ``--sweep``, ``--sweep-file`` or ``--shard`` come to; none where none was given.

    Raises:
        UsageError: There is a mistake in them.
    """
    if not is_pool(given):
        return ()
    sweeps, file, shard = given["sweeps"], given["sweep_file"], given["shard"]
    from mlcube_remote.dispatch.sweep import sharded, swept  # noqa: PLC0415 - only for sweeps

    if shard and (sweeps or file):
        raise UsageError("--shard and --sweep: expected one of them")
    points = sharded(shard, hosts) if shard else swept(sweeps, Path(file) if file else None)
    twice = sorted(split_arguments(given["arguments"]).keys() & points[0].values.keys())
    if twice:
        raise UsageError(f"{twice[0]}: is given a value, and swept too")
    return points


def split_arguments(arguments: Iterable[str]) -> dict[str, str]:
    """Split ``name=value`` arguments of the task.

    Raises:
        UsageError: One has no name, or no ``=``.
    """
    result: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name:
            raise UsageError(
                f"unexpected argument {argument!r}: expected name=value",
                hint="options of mlcube-remote begin with --; a task is named with --task=NAME",
            )
        result[name] = value
    return result


def environment(names: Iterable[str]) -> dict[str, Secret]:
    """Take the variables that ``--env`` names from this machine's environment.

    Raises:
        UsageError: A value was put on the command line, or the variable is not set.
    """
    result: dict[str, Secret] = {}
    for name in names:
        if "=" in name:
            variable = name.partition("=")[0]
            raise UsageError(
                f"--env {variable}=…: a value on the command line is seen by every user",
                hint=f"export {variable} first, then --env {variable}",
            )
        if name not in os.environ:
            raise UsageError(f"--env {name}: not set here", hint=f"export {name}=… first")
        result[name] = Secret(os.environ[name])
    return result


_FOR_THIS_TIME = frozenset(
    {
        "ask_passphrase",
        "ask_password",
        "detach",
        "dry_run",
        "events",
        "fail_fast",
        "gather",
        "junit",
        "max_failures",
        "on_interrupt",
        "output",
        "parallel",
        "quiet",
        "reconnect_timeout",
        "reporter",
        "run_id",
        "verbose",
        "wait",
    }
)
"""Options that say how a command goes about it, rather than what is run."""


def record(request: Request, jobs: Iterable[Job], given: Mapping[str, Any]) -> Store:
    """Write down that a run is about to begin, and return where runs are remembered.

    Args:
        request: What was asked.
        jobs: What will be done.
        given: The command's options: with what the run can be run again.

    Raises:
        RecordError: It cannot be written: nothing was begun.
    """
    from datetime import datetime, timezone  # noqa: PLC0415 - only for runs

    from mlcube_remote.runs.ids import client_name  # noqa: PLC0415
    from mlcube_remote.runs.store import RUN, Store  # noqa: PLC0415

    store = Store()
    try:
        before = store.read(request.run_id, RUN) or {}
    except RecordError:
        before = {}  # the whole one that follows takes its place
    options = {name: value for name, value in given.items() if name not in _FOR_THIS_TIME}
    # What names meant may change: a group of hosts, or which inventory is found.
    options |= {"hosts": [host.name for host in request.hosts], "where": ()}
    options |= {"inventory": request.inventory}
    known = {item.get("name") or item["host"]: item for item in before.get("jobs", ())}
    known |= {
        job.name: {
            "name": job.name,
            # Where the jobs of a sweep go is decided when hosts are free.
            "host": None if job.trial else job.host.name,
            "job": job.id,
            "attempt": job.attempt,
            "parameters": job.parameters,
        }
        for job in jobs
    }
    document = {
        "run": request.run_id,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "client": client_name(),
        "cube": {"name": request.cube.name, "path": str(request.cube.file)},
        "tasks": list(request.tasks),
        "results": str(request.cube.workspace.parent / "results" / request.run_id),
        "inventory": request.inventory,
        "began": {"folder": str(Path.cwd()), "options": options},
        **({} if request.again is None else before),
        "jobs": list(known.values()),
    }
    store.write(request.run_id, RUN, document, durable=True)
    return store


def known_hosts(inventory: Inventory) -> tuple[Host, ...]:
    """Return all hosts that may have jobs: the inventory's, and those of remembered runs."""
    from mlcube_remote.dispatch.known import host_names  # noqa: PLC0415 - only to look for runs
    from mlcube_remote.errors import InventoryError  # noqa: PLC0415
    from mlcube_remote.runs.store import Store  # noqa: PLC0415

    store = Store()
    names = dict.fromkeys(name for name in inventory.hosts if name != "local")
    for run_id in store.runs():
        try:
            names.update(dict.fromkeys(host_names(run_id, store)))
        except RecordError as problem:
            click.echo(f"warning: {problem}", err=True)
    hosts: list[Host] = []
    for name in names:
        try:
            hosts += select_hosts(inventory, [name])
        except InventoryError:
            # A host of a run from another inventory, which is asked when that one is named.
            continue
    return tuple(hosts)


def find_run(
    text: str,
    *,
    hosts: Iterable[str],
    inventory: str | None,
    password: bool | Secret,
    passphrase: bool | Secret,
) -> tuple[KnownRun, Logins]:
    """Find the run that ``text`` means, in this machine's record or else on the hosts.

    Args:
        text: A run's id, or enough of its beginning or end.
        hosts: Only jobs on these hosts, when any are named.
        inventory: As ``--inventory`` said.
        password: Whether to ask for the login password, or itself.
        passphrase: Whether to ask for the keys' passphrase, or itself.

    Raises:
        UsageError: There is no such run, or there are several.
    """
    from mlcube_remote.dispatch import known  # noqa: PLC0415 - only for runs of before
    from mlcube_remote.dispatch.survey import survey_all  # noqa: PLC0415
    from mlcube_remote.runs.store import Store  # noqa: PLC0415

    store, patterns = Store(), list(hosts)
    run_id = known.run_named(text, store)
    file = inventory or (run_id and known.inventory_of(run_id, store))
    found = open_inventory(file)
    logins = Logins.ask(found, password=password, passphrase=passphrase)
    if run_id is not None:
        chosen = select_hosts(found, patterns or known.host_names(run_id, store))
        run = known.recorded(run_id, store, chosen)
    else:
        chosen = select_hosts(found, patterns) if patterns else known_hosts(found)
        surveys = survey_all(chosen, logins.connect, everything=True)
        run = known.surveyed(text, surveys, lambda name: Path.cwd() / "results" / name)
    if not run.jobs:
        raise UsageError(
            f"run {run.run_id} has no job on {', '.join(patterns)}",
            hint=f"mlcube-remote status {run.run_id}",
        )
    return run, logins
