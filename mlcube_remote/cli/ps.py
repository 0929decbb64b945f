# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote ps`` and ``clean``: list the jobs on hosts, and remove old ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import attrs
import click

from mlcube_remote import app
from mlcube_remote.app.job_states import JOB_STATES
from mlcube_remote.app.options import DEFAULT_CLEAN_AGE_S, HostOptions
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.option_groups import CredentialPrompts
from mlcube_remote.cli.output_formats import output_option
from mlcube_remote.cli.parameter_types import Duration
from mlcube_remote.cli.printing import (
    faint,
    print_value,
    print_warning,
    terminal_width,
    worst_exit_code,
)
from mlcube_remote.errors import UsageError

if TYPE_CHECKING:
    from mlcube_remote.app.hosts import ChosenHosts
    from mlcube_remote.jobs.clean import Cleaned
    from mlcube_remote.jobs.clean_mirrors import CleanedMirrors, MirrorRules
    from mlcube_remote.jobs.query import HostJobs
    from mlcube_remote.ui.tables.jobs import JobsLayout

_WATCH_INTERVAL_S = 2.0


@click.command(cls=HelpfulCommand)
@click.option("--all", "-a", "everything", is_flag=True, help="Also jobs that have ended.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(JOB_STATES),
    metavar="STATE",
    help=f"Only jobs in this state; repeatable: {', '.join(JOB_STATES)}.",
)
@click.option(
    "--cube", "cubes", multiple=True, metavar="NAME", help="Only jobs of this cube; * and ? match."
)
@click.option("--jobs", "each", is_flag=True, help="One row per job; a sweep is one row otherwise.")
@click.option(
    "--watch", "-w", is_flag=True, help="Show the list again every two seconds, until Ctrl-C."
)
@shared.host_label_options
@shared.credential_options
@output_option
def ps(
    everything: bool,
    states: tuple[str, ...],
    cubes: tuple[str, ...],
    each: bool,
    watch: bool,
    hosts: HostOptions,
    credentials: CredentialPrompts,
    output: str,
) -> int:
    """List the jobs on all hosts, also those that other clients started.

    The hosts are those of the inventory, and those where this machine has started runs.
    """
    from mlcube_remote.ui.tables.jobs import jobs_document, jobs_text  # noqa: PLC0415 - slow to import

    if watch and output == "json":
        raise UsageError("--watch and --output=json cannot be combined", hint="omit one of them")
    which = app.job_lists.JobListFilter(
        everything=everything, states=frozenset(states), cubes=cubes
    )
    chosen = app.hosts.choose_hosts(hosts, credentials, print_warning, needs_host=True)

    def text(answers: Sequence[HostJobs]) -> str:
        layout = attrs.evolve(
            _layout(answers, is_folded=not each),
            hides_ended=not everything and not states,
            is_filtered=bool(states or cubes),
        )
        return jobs_text(answers, layout)

    if watch:
        with app.job_lists.watching(chosen, which) as query:
            return _watch(lambda: text(query()))
    answers = app.job_lists.list_filtered(chosen, which)
    print_value(answers, output, document=jobs_document, text=text)
    return list_exit_code(answers, is_named=bool(hosts.names or hosts.where))


def _layout(answers: Sequence[HostJobs], *, is_folded: bool) -> JobsLayout:
    from mlcube_remote.ui.tables import jobs as tables  # noqa: PLC0415 - slow to import

    silent = [answer.host.name for answer in answers if answer.error is not None]
    return tables.JobsLayout(
        width=terminal_width(sys.stdout),
        is_folded=is_folded,
        last_runs=app.known_hosts.last_runs(silent),
        faint=faint,
    )


def list_exit_code(answers: Sequence[HostJobs], *, is_named: bool) -> int:
    """Return 0 if all named hosts gave an answer, or any host if none was named."""
    if not is_named and any(answer.error is None for answer in answers):
        return 0
    return worst_exit_code(answer.error for answer in answers)


def _watch(text: Callable[[], str]) -> int:
    """Show a text again and again until Ctrl-C, which is the usual end."""
    from mlcube_remote.ui.progress.screen import show_repeatedly  # noqa: PLC0415 - slow to import

    show_repeatedly(text, sys.stdout, interval=_WATCH_INTERVAL_S)
    return 0


@click.command(cls=HelpfulCommand)
@click.option(
    "--older-than",
    type=Duration(),
    default=f"{DEFAULT_CLEAN_AGE_S / 86_400:.0f}d",
    show_default=True,
    metavar="TIME",
    help="Only what is older: jobs by their start, everything else by its last use.",
)
@click.option("--cubes", is_flag=True, help="Also mirrors of cubes, their SIF images, and data.")
@click.option("--images", is_flag=True, help="Also Docker and Podman images that were built.")
@click.option(
    "--with-outputs", is_flag=True, help="With --cubes: also outputs that were never pulled."
)
@click.option("--dry-run", is_flag=True, help="List what would be removed, and remove nothing.")
@shared.host_label_options
@shared.credential_options
@output_option
def clean(
    older_than: float,
    cubes: bool,
    images: bool,
    with_outputs: bool,
    dry_run: bool,
    hosts: HostOptions,
    credentials: CredentialPrompts,
    output: str,
) -> int:
    """Remove the logs and records of ended jobs, here and on hosts; outputs stay.

    Other commands do not find such a run any more by its name; 'results show DIRECTORY' shows the
    results that were pulled.

    With --cubes and --images, also remove what mlcube-remote has stored on the hosts, if no job has
    used it for the time of --older-than. The next run of the cube sends and builds it again. What a
    job uses is never removed. Outputs that this machine has not pulled stay with their jobs, so
    that pull finds them, unless you add --with-outputs.
    """
    from mlcube_remote.jobs.clean_mirrors import MirrorRules  # noqa: PLC0415 - slow to import
    from mlcube_remote.ui.tables.clean import clean_document, clean_text  # noqa: PLC0415 - slow

    if with_outputs and not cubes:
        raise UsageError(
            "--with-outputs: expected only with --cubes", hint="add --cubes, or omit --with-outputs"
        )
    rules = MirrorRules(
        older_than=older_than, cubes=cubes, images=images, with_outputs=with_outputs
    )
    chosen = app.hosts.choose_hosts(hosts, credentials, print_warning, needs_host=True)
    done = app.host_queries.clean_jobs(
        chosen, older_than=older_than, with_outputs=with_outputs, dry_run=dry_run
    )
    mirrors = _clean_mirrors(chosen, done, rules, dry_run=dry_run)
    print_value(
        done,
        output,
        document=partial(clean_document, mirrors=mirrors or (), dry_run=dry_run),
        text=partial(clean_text, mirrors=mirrors, dry_run=dry_run),
    )
    errors = [each.error for each in done if each.error is not None]
    errors += [each.error for each in mirrors or () if each.error is not None]
    for error in errors if output == "text" else ():
        click.echo(f"error: {error}", err=True)
    return worst_exit_code(errors)


def _clean_mirrors(
    chosen: ChosenHosts, done: Sequence[Cleaned], rules: MirrorRules, *, dry_run: bool
) -> tuple[CleanedMirrors, ...] | None:
    """Remove what else the rules name from the hosts that gave an answer; ``None``: nothing."""
    if not rules.cubes and not rules.images:
        return None
    silent = {each.host for each in done if each.error is not None}
    answering = tuple(host for host in chosen.hosts if host.name not in silent)
    asked = attrs.evolve(chosen, hosts=answering)
    return app.host_queries.clean_mirrors(asked, rules, dry_run=dry_run)
