# SPDX-License-Identifier: Apache-2.0
"""What runs have come to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs

from mlcube_remote.dispatch.exitcode import exit_code
from mlcube_remote.dispatch.outcome import JobOutcome, Status
from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.ui.tables.results import Cell


class RunFailedError(MLCubeRemoteError):
    """Not every job of a run succeeded; raised only by :meth:`RunResult.check`."""


@attrs.frozen(kw_only=True)
class RunResult:
    """What a call came to."""

    run_id: str
    jobs: tuple[JobOutcome, ...]

    @property
    def succeeded(self) -> bool:
        """Whether every job ended well, and its outputs are here."""
        return all(job.succeeded for job in self.jobs)

    @property
    def exit_code(self) -> int:
        """What the command line would have ended with."""
        return exit_code(self.jobs)

    def check(self) -> RunResult:
        """Return the result itself where every job succeeded or goes on.

        Raises:
            RunFailedError: Some did not; the message says which, and on which account.
        """
        well = {Status.SUCCEEDED, Status.RUNNING}
        failed = [job for job in self.jobs if job.status not in well]
        if not failed:
            return self
        from mlcube_remote.ui.errors import failure_reason  # noqa: PLC0415 - only for a failure

        told = "; ".join(
            f"{job.label}: {failure_reason(job) or job.status.value}" for job in failed[:8]
        )
        more = f" … ({len(failed)} in all)" if len(failed) > 8 else ""
        raise RunFailedError(
            f"{len(failed)} of {len(self.jobs)} jobs did not succeed: {told}{more}",
            hint=f"mlcube-remote rerun {self.run_id} --failed",
        )


@attrs.frozen(kw_only=True)
class Results:
    """What is known of a run; docs/reference/results.md describes it."""

    document: Mapping[str, Any]
    """The index of the results."""

    def rows(self, sort: str | None = None) -> list[dict[str, Cell]]:
        """Return a row per job: column → cell, as ``results show --csv`` has them.

        Args:
            sort: A column to order by; a leading ``-`` puts the largest first.

        Raises:
            UsageError: There is no such column.
        """
        from mlcube_remote.ui.tables.results import results_rows, sort_jobs  # noqa: PLC0415

        return results_rows(sort_jobs(self.document["jobs"], sort))


def results(run: str | os.PathLike[str]) -> Results:
    """Return what is known of a run, without asking any host.

    Args:
        run: Its id, enough of its beginning or end, or the path of its results.

    Raises:
        MLCubeRemoteError: There is no such run, or its results cannot be read.
    """
    from mlcube_remote.cli.results import find_index  # noqa: PLC0415

    return Results(document=find_index(os.fspath(run)))
