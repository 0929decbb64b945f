# SPDX-License-Identifier: Apache-2.0
"""Commands that enter the container of a job: ``exec`` and ``shell``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mlcube_remote import app
from mlcube_remote.app.options import HostOptions
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.option_groups import CredentialPrompts
from mlcube_remote.cli.printing import print_warning
from mlcube_remote.cli.run_argument import run_argument

_job_option = click.option(
    "--job", metavar="NAME", help="Choose the job, if the run has several: its name or host."
)


@click.command()
@run_argument
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@_job_option
@shared.host_options
@shared.credential_options
def exec(  # noqa: A001 - the name of the command
    run_text: str,
    command: tuple[str, ...],
    job: str | None,
    hosts: HostOptions,
    credentials: CredentialPrompts,
) -> int:
    """Run a command in the container of a run's task, beside the task.

    Write two dashes before the command: mlcube-remote exec RUN -- nvidia-smi -l 5. The command has
    this terminal, or the pipes of this command, and its exit code is the exit code of this one.
    """
    return _enter(run_text, job, command, hosts, credentials)


@click.command()
@run_argument
@_job_option
@shared.host_options
@shared.credential_options
def shell(
    run_text: str, job: str | None, hosts: HostOptions, credentials: CredentialPrompts
) -> int:
    """Open a shell in the container of a run's task, beside the task.

    The shell is Bash if the image has it, otherwise sh. The task continues when you leave it.
    """
    return _enter(run_text, job, app.exec.SHELL, hosts, credentials)


def _enter(
    run_text: str,
    job: str | None,
    command: Sequence[str],
    hosts: HostOptions,
    credentials: CredentialPrompts,
) -> int:
    found = app.follow.find_run(run_text, hosts, credentials, print_warning)
    return app.exec.exec_in_run(found, job, command, print_warning)
