# SPDX-License-Identifier: Apache-2.0
"""The argument RUN and the option ``--job``: which run, and which of its jobs."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import click

from mlcube_remote.app.options import Sensible
from mlcube_remote.cli.completers import complete_jobs
from mlcube_remote.cli.option_groups import F, group
from mlcube_remote.cli.run_argument import complete_targets, sensible_run

_CHOOSE_JOBS = (
    "Only these jobs: names, numbers or hosts, and ranges such as [01-04]; separated by commas."
)


@attrs.frozen(kw_only=True)
class RunTarget:
    """A run, and maybe some of its jobs."""

    text: str
    """As the user wrote it, or the id of the run that is meant without one."""
    jobs: tuple[str, ...] = ()


def choose_target(run_text: str | None, jobs: tuple[str, ...], sensible: Sensible) -> RunTarget:
    """Return the run that the user named, or else the sensible one, and print which that is.

    Raises:
        UsageError: The user named none, and none or several can be meant.
    """
    text = sensible_run(sensible) if run_text is None else run_text
    return RunTarget(text=text, jobs=jobs)


def run_target(sensible: Sensible) -> Callable[[F], F]:
    """Return the argument RUN and the option ``--job``, as one argument of the command.

    Args:
        sensible: Which run is meant without RUN.
    """

    def target(*, run_text: str | None, jobs: tuple[str, ...]) -> RunTarget:
        return choose_target(run_text, jobs, sensible)

    return group(
        "target",
        target,
        click.argument(
            "run_text", required=False, metavar="[RUN[/JOB]]", shell_complete=complete_targets
        ),
        click.option(
            "--job",
            "jobs",
            multiple=True,
            metavar="JOBS",
            shell_complete=complete_jobs,
            help=_CHOOSE_JOBS,
        ),
    )
