# SPDX-License-Identifier: Apache-2.0
"""From parsed options to the values that the rooms below take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
import click

from mlcube_remote.errors import UsageError
from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection


def open_inventory(explicit: str | None, mlcube: str = ".") -> Inventory:
    """Find and read the inventory that the options mean."""
    from mlcube_remote.inventory.locate import open_inventory as read  # noqa: PLC0415 - needs yaml

    cube = Path(mlcube).expanduser()
    return read(explicit, cube if cube.is_dir() else cube.parent)


def select_hosts(inventory: Inventory, patterns: Iterable[str]) -> tuple[Host, ...]:
    """Return the hosts that ``--host`` names.

    Raises:
        UsageError: None was named.
        InventoryError: One is unknown.
    """
    from mlcube_remote.inventory.select import select  # noqa: PLC0415 - needs yaml

    wanted = list(patterns)
    if not wanted:
        names = ", ".join([*inventory.groups, *inventory.hosts][:12])
        raise UsageError(
            "no host was named: expected --host=NAME",
            hint=f"in the inventory: {names}; or any name of your ~/.ssh/config",
        )
    return select(inventory, wanted)


@attrs.frozen(kw_only=True)
class Logins:
    """What the user typed for logging in, asked once before anything starts."""

    inventory: Inventory
    password: Secret | None
    passphrase: Secret | None

    @classmethod
    def ask(cls, inventory: Inventory, *, password: bool, passphrase: bool) -> Logins:
        """Ask for what was announced by ``--ask-password`` and ``--ask-passphrase``."""

        def prompt(what: str) -> Secret:
            return Secret(click.prompt(what, hide_input=True, err=True))

        return cls(
            inventory=inventory,
            password=prompt("Login password") if password else None,
            passphrase=prompt("Passphrase of the private keys") if passphrase else None,
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
