# SPDX-License-Identifier: Apache-2.0
"""Commands that enter the container of a job: ``exec`` and ``shell``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mlcube_remote import app
from mlcube_remote.app.options import HostOptions, Sensible
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.completers import complete_jobs
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.option_groups import CredentialPrompts
from mlcube_remote.cli.printing import print_warning
from mlcube_remote.cli.run_argument import complete_targets
from mlcube_remote.cli.run_target import RunTarget, run_target

_job_option = click.option(
    "--job",
    metavar="JOB",
    shell_complete=complete_jobs,
    help="Choose the job if the run has several: name, number or host.",
)


@click.command(cls=HelpfulCommand)
@click.argument("run_text", metavar="RUN", shell_complete=complete_targets)
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

    RUN is a run's name, a part of its id, or 'last'; RUN/03 and RUN/gpu01 are one of its jobs.
    Write two dashes before the command: mlcube-remote exec RUN -- nvidia-smi -l 5. The command has
    this terminal, or the pipes of this command, and its exit code is the exit code of this one.
    """
    jobs = () if job is None else (job,)
    return _enter(RunTarget(text=run_text, jobs=jobs), command, hosts, credentials)


@click.command()
@run_target(Sensible.LIVE)
@shared.host_options
@shared.credential_options
def shell(target: RunTarget, hosts: HostOptions, credentials: CredentialPrompts) -> int:
    """Open a shell in the container of a run's task, beside the task.

    RUN is a run's name, a part of its id, or 'last'; RUN/03 and RUN/gpu01 are one of its jobs.
    Without RUN, the command takes the run of this machine that may still run, unless several can
    be meant. The shell is Bash if the image has it, otherwise sh. The task continues when you
    leave it.
    """
    return _enter(target, app.exec.SHELL, hosts, credentials)


def _enter(
    target: RunTarget,
    command: Sequence[str],
    hosts: HostOptions,
    credentials: CredentialPrompts,
) -> int:
    found = app.follow.find_run(target.text, hosts, credentials, print_warning, jobs=target.jobs)
    return app.exec.exec_in_run(found, command, print_warning)
