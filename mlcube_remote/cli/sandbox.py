# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote sandbox``: throw-away SSH hosts on this machine."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.output_formats import output_option
from mlcube_remote.cli.parameter_types import WholeNumber
from mlcube_remote.cli.printing import print_value

if TYPE_CHECKING:
    from mlcube_remote.sandbox.paths import Sandbox


def _note(text: str) -> None:
    click.echo(text, err=True)


@click.group()
def sandbox() -> None:
    """Start throw-away SSH hosts on this machine, to try things out."""


@sandbox.command("up", cls=HelpfulCommand)
@click.option(
    "--hosts",
    "count",
    type=WholeNumber(1, 64),
    metavar="N",
    help="Number of hosts  [default: two, or one of each kind if that is more]",
)
@click.option(
    "--with",
    "kinds",
    multiple=True,
    default=("docker",),
    show_default=True,
    metavar="KIND[,KIND...]",
    help="Engine of the hosts: docker, podman, apptainer, …; several are assigned in turn.",
)
@output_option
def up_command(count: int | None, kinds: tuple[str, ...], output: str) -> None:
    """Start hosts, and write their inventory.

    Hosts that are already running stay.
    """
    from mlcube_remote.sandbox.lifecycle import up  # noqa: PLC0415 - only here

    made = up(count, ",".join(kinds), note=_note)
    lines = [
        f"{', '.join(host.name for host in made.hosts)} ready",
        f"use them:  export MLCUBE_REMOTE_INVENTORY={shlex.quote(str(made.inventory))}",
        "try:       mlcube-remote hosts check sandbox",
    ]
    print_value(made, output, document=_document, text=lambda _: "\n".join(lines))


@sandbox.command("status", cls=HelpfulCommand)
@output_option
def status_command(output: str) -> None:
    """Show the hosts that are running."""
    from mlcube_remote.sandbox.lifecycle import status  # noqa: PLC0415

    print_value(status(), output, document=_document, text=_text)


def _text(found: Sandbox) -> str:
    from mlcube_remote.ui.tables.columns import format_table  # noqa: PLC0415

    if not found.hosts:
        return "no sandbox host is running; start some: mlcube-remote sandbox up"
    rows = [[host.name, host.flavour, str(host.port), str(host.home)] for host in found.hosts]
    table = format_table(["host", "kind", "port", "home"], rows)
    return f"{table}\ninventory: {found.inventory}"


def _document(found: Sandbox) -> dict[str, Any]:
    return {
        "inventory": str(found.inventory),
        "hosts": [
            {
                "host": host.name,
                "kind": host.flavour,
                "port": host.port,
                "home": str(host.home),
            }
            for host in found.hosts
        ],
    }


@sandbox.command("down", cls=HelpfulCommand)
@output_option
def down_command(output: str) -> None:
    """Remove the hosts and everything on them."""
    from mlcube_remote.sandbox.lifecycle import down  # noqa: PLC0415

    removed = down(note=_note)
    if output == "json":
        print_value(removed, output, document=lambda hosts: {"removed": list(hosts)}, text=str)
