# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote rerun``: those jobs of a run again that did not succeed."""

from __future__ import annotations

import os
from typing import Any

import click

from mlcube_remote.cli import options as shared
from mlcube_remote.errors import UsageError


@click.command()
@click.argument("run_text", metavar="RUN")
@click.option("--failed", is_flag=True, help="Only jobs that did not succeed.")
@click.option(
    "--host",
    "-H",
    "only_hosts",
    multiple=True,
    metavar="HOSTS",
    help="Only jobs on these of the run's hosts; commas between.",
)
@shared.start_options
@shared.gather_option
@shared.follow_options
@shared.login_options
@shared.report_options
@shared.output_options
def rerun(run_text: str, failed: bool, only_hosts: tuple[str, ...], **given: Any) -> int:
    """Run jobs of a run again, with the arguments that it was begun with.

    RUN is a run's id, or enough of its beginning or end. What a job leaves takes the place of what
    it left before, in the same folder of results. A job that may still be at work is left alone.
    """
    from mlcube_remote.cli.run import execute  # noqa: PLC0415 - nothing to import for --help
    from mlcube_remote.dispatch.again import choose  # noqa: PLC0415
    from mlcube_remote.dispatch.known import arguments_of, run_named  # noqa: PLC0415
    from mlcube_remote.errors import StateUnknownError  # noqa: PLC0415
    from mlcube_remote.runs.results import compile_index  # noqa: PLC0415
    from mlcube_remote.runs.store import Store  # noqa: PLC0415

    store = Store()
    run_id = run_named(run_text, store)
    if run_id is None:
        raise UsageError(
            f"no run {run_text!r} was begun on this machine",
            hint="only the machine that began a run knows its arguments",
        )
    began = arguments_of(run_id, store)
    jobs = compile_index(run_id, store, lambda text: click.echo(f"warning: {text}", err=True))[
        "jobs"
    ]
    again = choose(jobs, failed=failed, hosts=_names(only_hosts, jobs))
    for name in again.may_go_on:
        click.echo(f"not started again: {name} may be at work", err=True)
    if again.may_go_on:
        click.echo(f"  follow it:  mlcube-remote attach {run_id}", err=True)
    if not again.attempts:
        click.echo("nothing to run again", err=True)
        return StateUnknownError.exit_code if again.may_go_on else 0
    # Paths of the arguments are relative to where the run was begun.
    os.chdir(began.folder)
    return execute({**began.options, **given, "run_id": run_id}, again=again.attempts)


def _names(patterns: tuple[str, ...], jobs: list[dict[str, Any]]) -> frozenset[str]:
    """Return the hosts that ``--host`` names among those of the run."""
    names = frozenset(name for text in patterns for name in text.split(",") if name)
    known = {job["host"] for job in jobs}
    if unknown := sorted(names - known):
        raise UsageError(
            f"the run has no job on {', '.join(unknown)}",
            hint=f"it has jobs on {', '.join(sorted(filter(None, known)))}",
        )
    return names
