# SPDX-License-Identifier: Apache-2.0
"""Runs that were begun before: ``attach``, ``logs``, ``wait``, ``status``, ``stop``, ``pull``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from mlcube_remote.cli import options as shared
from mlcube_remote.cli.session import Logins, find_run

if TYPE_CHECKING:
    from mlcube_remote.dispatch.run_context import RunContext
    from mlcube_remote.events.outcome import JobOutcome
    from mlcube_remote.jobs.lookup import RecordedJob

_tail_option = click.option(
    "--tail", type=click.IntRange(min=0), metavar="N", help="Begin with the last N lines."
)
_QUIETLY: dict[str, Any] = {
    "verbose": False,
    "on_interrupt": "detach",
    "reconnect_timeout": 0.0,
}


@click.command()
@shared.run_argument
@_tail_option
@shared.gather_option
@shared.host_options
@shared.follow_options
@shared.login_options
@shared.report_options
@shared.output_options
def attach(**given: Any) -> int:
    """Follow a run from its first byte on, and pull its outputs when it has ended.

    RUN is a run's id, or enough of its beginning or end. Of several jobs, those that were followed
    to their end here before are not shown again.
    """
    return _follow(given, tail=given["tail"], repeats=given["tail"] is not None)


@click.command()
@shared.run_argument
@shared.host_options
@shared.follow_options
@shared.login_options
@shared.report_options
@shared.output_options
def wait(**given: Any) -> int:
    """Wait until a run has ended, and end as it did."""
    return _follow(given, shows_output=False, pulls=False)


@click.command()
@shared.run_argument
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended.")
@_tail_option
@shared.gather_option
@shared.host_options
@shared.login_options
def logs(**given: Any) -> int:
    """Print what a run's tasks wrote."""
    return _follow(
        {**_QUIETLY, **given, "quiet": True, "output": "text"},
        tail=given["tail"],
        pulls=False,
        ends=not given["follow"],
        reports=False,
    )


@click.command()
@shared.run_argument
@shared.host_options
@shared.login_options
@shared.output_options
def status(**given: Any) -> int:
    """Tell how each job of a run stands."""
    from mlcube_remote.dispatch.attach import status_job  # noqa: PLC0415 - nothing to import for help

    return _each(given, status_job, quiet=True)


@click.command()
@shared.run_argument
@click.option(
    "--grace",
    type=shared.Duration(),
    default="10s",
    show_default=True,
    metavar="TIME",
    help="Between asking the task to end (SIGTERM) and ending it (SIGKILL).",
)
@shared.host_options
@shared.login_options
@shared.output_options
def stop(**given: Any) -> int:
    """Stop a run's jobs; doing it twice does no harm."""
    from mlcube_remote.dispatch.attach import stop_job  # noqa: PLC0415

    return _each(given, partial(stop_job, grace=round(given["grace"])), stops=True)


@click.command()
@shared.run_argument
@click.option(
    "--output", "names", multiple=True, metavar="NAME", help="Only this output; repeatable."
)
@shared.host_options
@shared.login_options
@shared.talk_options
def pull(**given: Any) -> int:
    """Bring home what a run has made; while it runs, what there is so far."""
    from mlcube_remote.dispatch.attach import pull_job  # noqa: PLC0415

    work = partial(pull_job, names=frozenset(given["names"]))
    return _each({**given, "output": "text"}, work)


def _follow(
    given: dict[str, Any],
    *,
    reports: bool = True,
    ends: bool = False,
    repeats: bool = True,
    **how: Any,
) -> int:
    from mlcube_remote.cli.following import report, show  # noqa: PLC0415
    from mlcube_remote.dispatch.attach import AttachOptions, attach_job  # noqa: PLC0415
    from mlcube_remote.events.exit_codes import exit_code  # noqa: PLC0415
    from mlcube_remote.runs.store import Store  # noqa: PLC0415

    found, logins = _found(given)
    following = AttachOptions(**how, ends=ends, repeats=repeats or len(found.jobs) == 1)
    seen = 0 if following.repeats else sum(job.is_seen for job in found.jobs)
    if seen and not given["quiet"]:
        click.echo(
            f"not shown again: {seen} of {len(found.jobs)} jobs, which were followed to their end; "
            f"mlcube-remote logs {found.run_id}",
            err=True,
        )
    outcomes = show(
        found.run_id,
        {job.name: partial(_attached, attach_job, job, following) for job in found.jobs},
        given,
        connect=logins.connect,
        store=Store() if following.pulls else None,
        results=found.results,
        keeps=found.shares_hosts,
    )
    if reports:
        return report(found.run_id, outcomes, given, as_json=given["output"] == "json")
    return exit_code([each for each in outcomes if each.error is not None])


def _attached(
    attach: Callable[..., JobOutcome], job: RecordedJob, following: Any, run: RunContext
) -> JobOutcome:
    return attach(job, following, run)


def _each(
    given: dict[str, Any],
    work: Callable[[RecordedJob, RunContext], JobOutcome],
    *,
    quiet: bool = False,
    stops: bool = False,
) -> int:
    from mlcube_remote.cli.following import report, show  # noqa: PLC0415
    from mlcube_remote.runs.store import Store  # noqa: PLC0415

    found, logins = _found(given)
    shown: Mapping[str, Any] = {**_QUIETLY, **given, "quiet": quiet or given["quiet"]}
    outcomes = show(
        found.run_id,
        {job.name: partial(work, job) for job in found.jobs},
        shown,
        connect=logins.connect,
        store=Store(),
        results=found.results,
        keeps=found.shares_hosts,
    )
    code = report(found.run_id, outcomes, given, as_json=given["output"] == "json")
    # Who asked for the stop is not told by the exit code that it took place.
    return 0 if stops and all(each.error is None for each in outcomes) else code


def _found(given: Mapping[str, Any]) -> tuple[Any, Logins]:
    return find_run(
        given["run_text"],
        hosts=given["hosts"],
        inventory=given["inventory"],
        password=given["ask_password"],
        passphrase=given["ask_passphrase"],
    )
