# SPDX-License-Identifier: Apache-2.0
"""Commands that enter the container of a job: ``exec`` and ``shell``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial

import click

from mlcube_remote import app
from mlcube_remote.app.options import HostOptions, Sensible
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.completers import complete_jobs
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.option_groups import CredentialPrompts
from mlcube_remote.cli.printing import print_warning
from mlcube_remote.cli.run_argument import complete_targets
from mlcube_remote.cli.run_target import choose_target
from mlcube_remote.errors import UsageError

_DASHES = "--"

_job_option = click.option(
    "--job",
    metavar="JOB",
    shell_complete=complete_jobs,
    help="Choose the job if several are running: name, number or host.",
)


_TERMINAL_OPTIONS = frozenset({"-it", "-ti"})
"""Options that users of ``docker exec`` type; here ``-i`` is the inventory, and ``t`` its file."""


class _OnThisTerminal(HelpfulCommand):
    """A command that has this terminal without an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse the options of other programs for a terminal, and parse the rest."""
        for option in () if ctx.resilient_parsing else _TERMINAL_OPTIONS.intersection(args):
            raise UsageError(
                f"{option}: expected no option for a terminal",
                hint=f"omit it: {ctx.command_path} uses this terminal, or the pipes that it has",
            )
        return super().parse_args(ctx, args)


class _CommandAfterDashes(_OnThisTerminal):
    """A command of the shape ``[RUN] -- COMMAND...``, which may have been written without dashes.

    Click drops the dashes, so that it could not tell COMMAND from RUN.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what is before the dashes, and keep the rest as it is."""
        at = args.index(_DASHES) if _DASHES in args else len(args)
        ctx.params["after_dashes"] = tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])


@click.command(cls=_CommandAfterDashes)
@click.argument(
    "words",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[RUN[/JOB]] -- COMMAND...",
    shell_complete=complete_targets,
)
@_job_option
@shared.host_options
@shared.credential_options
def exec(  # noqa: A001 - the name of the command
    words: tuple[str, ...],
    after_dashes: tuple[str, ...],
    job: str | None,
    hosts: HostOptions,
    credentials: CredentialPrompts,
) -> int:
    """Run a command in the container of a run's task, beside the task.

    RUN is a run's name, a part of its id, or 'last'; RUN/03 and RUN/gpu01 are one of its jobs.
    Without RUN, the command takes the only run of this machine that may still be running; and
    without JOB, the only job of it. COMMAND reads from and writes to this terminal or pipe. The
    exit code is that of COMMAND.
    """
    run_text, command = _split(words, after_dashes)
    return _enter(run_text, job, command, hosts, credentials)


def _split(
    words: tuple[str, ...], after_dashes: tuple[str, ...]
) -> tuple[str | None, tuple[str, ...]]:
    """Return RUN, if there is one, and the command.

    Raises:
        UsageError: There is no command.
    """
    run_text = words[0] if words else None
    command = (*words[1:], *after_dashes)
    if not command:
        hint = "mlcube-remote exec last -- COMMAND"
        if run_text is not None:
            word = shlex.quote(run_text)
            hint = (
                f"if {word} is the run: mlcube-remote exec {word} -- COMMAND; "
                f"if it is the command: mlcube-remote exec -- {word}"
            )
        raise UsageError("expected a command after two dashes (--)", hint=hint)
    return run_text, command


@click.command(cls=_OnThisTerminal)
@click.argument("run_text", required=False, metavar="[RUN[/JOB]]", shell_complete=complete_targets)
@_job_option
@shared.host_options
@shared.credential_options
def shell(
    run_text: str | None, job: str | None, hosts: HostOptions, credentials: CredentialPrompts
) -> int:
    """Open a shell in the container of a run's task, beside the task.

    RUN is a run's name, a part of its id, or 'last'; RUN/03 and RUN/gpu01 are one of its jobs.
    Without RUN, the command takes the only run of this machine that may still be running; and
    without JOB, the only job of it. The shell is Bash if the image has it, otherwise sh. The task
    continues when you leave the shell.
    """
    return _enter(run_text, job, app.exec.SHELL, hosts, credentials)


def _enter(
    run_text: str | None,
    job: str | None,
    command: Sequence[str],
    hosts: HostOptions,
    credentials: CredentialPrompts,
) -> int:
    target = choose_target(run_text, () if job is None else (job,), Sensible.LIVE)
    found = app.follow.find_run(target.text, hosts, credentials, print_warning, jobs=target.jobs)
    return app.exec.exec_in_run(found, command, print_warning, partial(click.echo, err=True))
