# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote rerun``: those jobs of a run again that did not succeed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import click

from mlcube_remote.cli import options as shared
from mlcube_remote.errors import UsageError

if TYPE_CHECKING:
    from mlcube_remote.dispatch.again import Again
    from mlcube_remote.dispatch.known import Began


_RETRIES = frozenset({"retries", "retry_on"})
"""Options that stay as they were where nobody gives them."""


@click.command()
@shared.run_argument
@click.option("--failed", is_flag=True, help="Only jobs that did not succeed.")
@click.option(
    "--host",
    "-H",
    "only_hosts",
    multiple=True,
    metavar="HOSTS",
    help="Only jobs on these of the run's hosts: names and ranges, commas between.",
)
@click.option(
    "--gone",
    multiple=True,
    metavar="HOSTS",
    help="Hosts that will not come back: what may be at work there counts as lost.",
)
@shared.retry_options(None)
@shared.start_options
@shared.gather_option
@shared.follow_options
@shared.login_options
@shared.report_options
@shared.output_options
def rerun(
    run_text: str,
    failed: bool,
    only_hosts: tuple[str, ...],
    gone: tuple[str, ...],
    **given: Any,
) -> int:
    """Run jobs of a run again, with the arguments that it was begun with.

    RUN is a run's id, or enough of its beginning or end. What a job leaves takes the place of what
    it left before, in the same folder of results. A job that may still be at work is left alone.
    """
    from mlcube_remote.cli.run import execute  # noqa: PLC0415 - nothing to import for --help
    from mlcube_remote.errors import StateUnknownError  # noqa: PLC0415
    from mlcube_remote.ui.nextsteps import listed  # noqa: PLC0415

    asked = choose_again(run_text, failed=failed, hosts=only_hosts, gone=gone)
    options = asked.options(given)
    for name in asked.again.may_go_on:
        click.echo(f"not started again: {name} may be at work", err=True)
    if asked.again.may_go_on:
        click.echo(f"  follow it:  mlcube-remote attach {asked.run_id}", err=True)
        click.echo("  if its host is gone for good:  the same command, with --gone=HOST", err=True)
    if asked.again.unplaced:
        names = listed(asked.again.unplaced)
        click.echo(
            f"not started again: {names} may yet be placed by whoever began the run", err=True
        )
        click.echo(f"  if nobody does:  the same command, with --run-id={asked.run_id}", err=True)
    if not asked.again.attempts:
        click.echo("nothing to run again", err=True)
        left = asked.again.may_go_on or asked.again.unplaced
        return StateUnknownError.exit_code if left else 0
    with asked.where_it_began():
        return execute(options, again=asked.again.attempts)


@attrs.frozen(kw_only=True)
class Asked:
    """What a run was begun with, and which of its jobs are to be run again."""

    run_id: str
    began: Began
    again: Again
    gone: frozenset[str]
    """Hosts that will not come back."""

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of ``run``; those that say how to go about it are of this time.

        Raises:
            UsageError: They are of no use for this run, or no host is left to it.
        """
        from mlcube_remote.cli.session import is_pool  # noqa: PLC0415 - not for --help

        before = self.began.options
        told = {
            name: value
            for name, value in given.items()
            if name not in _RETRIES or value not in (None, ())
        }
        goes_anywhere = is_pool(before)
        if not goes_anywhere and (retries := _RETRIES & told.keys()):
            raise UsageError(
                f"--{min(retries).replace('_', '-')}: each host of run {self.run_id} has one job, "
                "which is begun once",
                hint=f"mlcube-remote rerun {self.run_id} --failed, as often as need be",
            )
        # Where each host has a job of its own, no other could do it: it may have been made anew.
        hosts = [name for name in before["hosts"] if not goes_anywhere or name not in self.gone]
        if not hosts:
            raise UsageError(
                f"--gone: run {self.run_id} has no host but {', '.join(before['hosts'])}",
                hint="begin it anew on others: mlcube-remote run --host=NAMES …",
            )
        return {**before, **told, "hosts": hosts, "run_id": self.run_id}

    @contextlib.contextmanager
    def where_it_began(self) -> Iterator[None]:
        """Be in the directory that the run's paths are relative to."""
        before = os.getcwd()
        os.chdir(self.began.folder)
        try:
            yield
        finally:
            os.chdir(before)


def choose_again(
    text: str, *, failed: bool, hosts: Iterable[str], gone: Iterable[str] = ()
) -> Asked:
    """Say what of a run may be run again.

    Args:
        text: The run's id, or enough of its beginning or end.
        failed: Only jobs that did not succeed.
        hosts: Only jobs on these hosts; none: on any.
        gone: Hosts that will not come back.

    Raises:
        UsageError: There is no such run here, or it has nothing on one of these hosts.
    """
    from mlcube_remote.dispatch.again import choose  # noqa: PLC0415
    from mlcube_remote.dispatch.known import arguments_of, run_named  # noqa: PLC0415
    from mlcube_remote.runs.results_index import compile_index  # noqa: PLC0415
    from mlcube_remote.runs.store import Store  # noqa: PLC0415

    store = Store()
    run_id = run_named(text, store)
    if run_id is None:
        raise UsageError(
            f"no run {text!r} was begun on this machine",
            hint="only the machine that began a run knows its arguments",
        )
    began = arguments_of(run_id, store)
    index = compile_index(run_id, store, lambda told: click.echo(f"warning: {told}", err=True))
    with_jobs = {str(job["host"]) for job in index["jobs"] if job["host"] is not None}
    lost = _names(gone, with_jobs | set(began.options["hosts"]))
    again = choose(index["jobs"], failed=failed, hosts=_names(hosts, with_jobs), gone=lost)
    return Asked(run_id=run_id, began=began, again=again, gone=lost)


def _names(patterns: Iterable[str], known: Collection[str]) -> frozenset[str]:
    """Return the hosts that an option names among those of the run."""
    from mlcube_remote.inventory.host_ranges import expand, split_all  # noqa: PLC0415 - as above

    try:
        names = frozenset(name for text in split_all(patterns) for name in expand(text))
    except ValueError as problem:
        raise UsageError(str(problem)) from problem
    if unknown := sorted(names - set(known)):
        raise UsageError(
            f"the run has no job on {', '.join(unknown)}",
            hint=f"it has jobs on {', '.join(sorted(known))}",
        )
    return names
