# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote sandbox``: throw-away SSH hosts on this machine."""

from __future__ import annotations

import click


def _note(text: str) -> None:
    click.echo(text, err=True)


@click.group()
def sandbox() -> None:
    """Start throw-away SSH hosts on this machine, to try things out."""


@sandbox.command("up")
@click.option(
    "--hosts",
    "count",
    type=click.IntRange(1, 64),
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
def up_command(count: int | None, kinds: tuple[str, ...]) -> None:
    """Start hosts and write their inventory; hosts that already run stay."""
    from mlcube_remote.sandbox.lifecycle import up  # noqa: PLC0415 - only here

    made = up(count, ",".join(kinds), note=_note)
    click.echo(f"{', '.join(host.name for host in made.hosts)} ready; inventory: {made.inventory}")
    click.echo(f"try: mlcube-remote run --inventory {made.inventory} --host=sandbox --task=TASK")


@sandbox.command("status")
def status_command() -> None:
    """Show the hosts that run."""
    from mlcube_remote.sandbox.lifecycle import status  # noqa: PLC0415
    from mlcube_remote.ui.tables.columns import format_table  # noqa: PLC0415

    found = status()
    if not found.hosts:
        click.echo("no sandbox host runs; start some: mlcube-remote sandbox up")
        return
    rows = [[host.name, host.flavour, str(host.port), str(host.home)] for host in found.hosts]
    click.echo(format_table(["host", "kind", "port", "home"], rows))
    click.echo(f"inventory: {found.inventory}")


@sandbox.command("down")
def down_command() -> None:
    """Remove the hosts and everything on them."""
    from mlcube_remote.sandbox.lifecycle import down  # noqa: PLC0415

    down(note=_note)
