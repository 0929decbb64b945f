# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote completion``: the script that a shell evaluates at its start."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    For bash: add  eval "$(mlcube-remote completion bash)"  to ~/.bashrc.
    """
    from mlcube_remote.cli.main import cli  # noqa: PLC0415 - it imports this module

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows all three
    click.echo(kind(cli, {}, "mlcube-remote", "_MLCUBE_REMOTE_COMPLETE").source())
