# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote hosts add``: show the key of a host, ask, and write the host into hosts.yaml."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from mlcube_remote import app
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.option_groups import CredentialPrompts
from mlcube_remote.cli.output_formats import output_option
from mlcube_remote.cli.printing import print_value
from mlcube_remote.errors import UsageError
from mlcube_remote.yamlsource import shown_path

if TYPE_CHECKING:
    from mlcube_remote.app.new_host import NewHost
    from mlcube_remote.transport.offered_keys import OfferedKey


@click.command("add", cls=HelpfulCommand)
@click.argument("name", metavar="NAME")
@click.argument("destination", metavar="[USER@ADDRESS]", required=False)
@click.option(
    "--fingerprint", metavar="SHA256:…", help="Trust the host's key if it has this fingerprint."
)
@click.option("--yes", "-y", is_flag=True, help="Ask nothing; needs --fingerprint for a new key.")
@shared.inventory_option
@shared.credential_options
@output_option
def add_host(
    name: str,
    destination: str | None,
    fingerprint: str | None,
    yes: bool,
    inventory: str | None,
    credentials: CredentialPrompts,
    output: str,
) -> None:
    """Add a host to hosts.yaml, after you have compared its key.

    The command shows the fingerprint of the host's key, and asks.

    ADDRESS is a host name or an IP address; ADDRESS:PORT if the port is not 22. Without
    USER@ADDRESS, NAME must be in ~/.ssh/config or in DNS. Comments in the file stay. Without an
    inventory, the file is ~/.config/mlcube-remote/hosts.yaml.
    """

    def confirm(key: OfferedKey) -> bool:
        # On a line of its own, it is whole on any terminal, and easier to compare.
        click.echo(f"{key.server} has a new host key:\n  {key.kind} {key.fingerprint}", err=True)
        if fingerprint is not None:
            return app.new_host.check_fingerprint(key, fingerprint, name)
        if yes or not sys.stdin.isatty():
            why = "--yes needs --fingerprint" if yes else "there is no terminal for the question"
            raise UsageError(
                f"{name}: its host key is unknown, and {why}",
                hint="compare the fingerprint above with the host's, then add: "
                "--yes --fingerprint=SHA256:…",
            )
        click.echo(
            "compare it with what the host's administrator or provider says; on the host:\n"
            "  for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done",
            err=True,
        )
        return click.confirm("Is it the same?", default=False, err=True)

    def note(text: str) -> None:
        click.echo(f"{name}: {text}", err=True)

    added = app.new_host.add(name, destination, inventory, credentials, confirm, note)
    option = "" if inventory is None else f" --inventory={shlex.quote(inventory)}"
    print_value(added, output, document=_document, text=partial(_text, option=option))


def _text(added: NewHost, *, option: str) -> str:
    known = f"its host key is known: {added.key.kind} {added.key.fingerprint}\n"
    return (
        f"{known if added.key.is_known else ''}added {added.name} to {shown_path(added.file)}\n"
        f"next: mlcube-remote hosts check {added.name}{option}"
    )


def _document(added: NewHost) -> dict[str, Any]:
    return {
        "version": 1,
        "host": added.name,
        "inventory": str(added.file),
        "host_key": {
            "type": added.key.kind,
            "fingerprint": added.key.fingerprint,
            "was_known": added.key.is_known,
        },
    }
