# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote completion``: the script that a shell evaluates at its start."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, add_completion_class, get_completion_class


@add_completion_class
class _Bash(BashComplete):
    """Puts together what bash takes apart: ``--host=gpu`` is three words to it."""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        for word in (*args, incomplete):
            if words and words[-1].startswith("--") and (word == "=" or words[-1].endswith("=")):
                words[-1] += word
            else:
                words.append(word)
        return words[:-1], words[-1]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    For bash: add  eval "$(mlcube-remote completion bash)"  to ~/.bashrc.
    """
    from mlcube_remote.cli.main import COMPLETE, cli  # noqa: PLC0415 - it imports this module

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows all three
    click.echo(kind(cli, {}, "mlcube-remote", COMPLETE).source())
