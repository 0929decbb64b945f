# SPDX-License-Identifier: Apache-2.0
"""The argument RUN of the commands about one run.

It is apart from the options, because ``results`` has only this argument: the options import the
classes of their values, which takes longer than everything else that ``results --help`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mlcube_remote.app.options import Sensible

_NAMED = 200
"""Number of the newest runs whose names are read: each is a file."""


def complete_runs(_: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the id or the name of a recorded run, or ``last``."""
    from mlcube_remote.runs.addresses import LAST  # noqa: PLC0415 - only on completion
    from mlcube_remote.runs.store import Store  # noqa: PLC0415

    store = Store()
    runs = list(store.runs())
    names = [name for run_id in runs[:_NAMED] if (name := store.name_of(run_id))]
    texts = dict.fromkeys([*([LAST] if runs else []), *names, *runs])
    return [text for text in texts if text.startswith(incomplete)]


def complete_targets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete ``RUN`` or ``RUN/JOB``."""
    run, slash, job = incomplete.partition("/")
    if not slash:
        return complete_runs(ctx, param, incomplete)
    return [f"{run}/{name}" for name in jobs_of_run(run) if name.startswith(job)]


def jobs_of_run(text: str) -> list[str]:
    """Return the names of the jobs of the one run that ``text`` means; empty if none does."""
    return [str(entry.get("name") or entry.get("host") or "") for entry in _entries(text)]


def hosts_of_run(text: str) -> list[str]:
    """Return the hosts that the one run that ``text`` means has jobs on; empty if none does."""
    from mlcube_remote.runs.store import Store  # noqa: PLC0415 - only on completion

    store, found = Store(), []
    for run_id in store.matching(text)[:2]:
        jobs = (store.read_if_valid(run_id, job, _ignore) for job in store.jobs(run_id))
        found.append({str(job["host"]) for job in jobs if job.get("host")})
    return sorted(found[0]) if len(found) == 1 else []


def sensible_run(which: Sensible | None = None) -> str:
    """Return the id of the run that a command without RUN is about, and print which that is.

    Args:
        which: Which run is meant; ``None``: the newest.

    Raises:
        UsageError: This machine has no such run, or several.
    """
    from mlcube_remote.app.latest_run import choose_run  # noqa: PLC0415 - only without RUN
    from mlcube_remote.app.options import Sensible  # noqa: PLC0415 - likewise

    run_id, about = choose_run(which or Sensible.NEWEST)
    click.echo(f"run {about}", err=True)
    return run_id


def _entries(text: str) -> list[dict[str, Any]]:
    from mlcube_remote.runs.store import RUN, Store  # noqa: PLC0415 - only on completion

    store = Store()
    found = store.matching(text)
    jobs = store.read_if_valid(found[0], RUN, _ignore).get("jobs") if len(found) == 1 else None
    return [entry for entry in jobs or () if isinstance(entry, dict)]


def _ignore(_warning: str) -> None:
    """Print nothing: the command line is half typed."""


run_argument = click.argument(
    "run_text", metavar="[RUN]", required=False, shell_complete=complete_runs
)
"""The run of commands that ask no host; ``None``: see :func:`sensible_run`."""
