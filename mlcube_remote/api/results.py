# SPDX-License-Identifier: Apache-2.0
"""Outcomes and results of runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs

from mlcube_remote import app
from mlcube_remote.api.observer import warn
from mlcube_remote.app.observer import RunReport
from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.events.exit_codes import exit_code
from mlcube_remote.events.outcome import OPEN, JobOutcome, Status
from mlcube_remote.ui.tables.results import Cell, results_rows, sort_jobs


class RunFailedError(MLCubeRemoteError):
    """Not every job of a run succeeded; raised only by :meth:`RunResult.check`."""


@attrs.frozen(kw_only=True)
class RunResult:
    """The outcomes of a call."""

    run_id: str
    jobs: tuple[JobOutcome, ...]

    @classmethod
    def of(cls, report: RunReport) -> RunResult:
        """Return the result of a use case."""
        return cls(run_id=report.run_id, jobs=report.outcomes)

    @property
    def succeeded(self) -> bool:
        """Whether every job succeeded, and its outputs are on this machine."""
        return all(job.succeeded for job in self.jobs)

    @property
    def exit_code(self) -> int:
        """Exit code that the command line would return."""
        return exit_code(self.jobs)

    def check(self) -> RunResult:
        """Return the result itself if every job succeeded or is still running.

        Raises:
            RunFailedError: Some jobs failed; the message says which, and why.
        """
        fine = {Status.SUCCEEDED, *OPEN}
        failed = [job for job in self.jobs if job.status not in fine]
        if not failed:
            return self
        from mlcube_remote.ui.errors import failure_reason  # noqa: PLC0415 - only for a failure

        reasons = "; ".join(
            f"{job.label}: {failure_reason(job) or job.status.value}" for job in failed[:8]
        )
        more = f" … ({len(failed)} in all)" if len(failed) > 8 else ""
        raise RunFailedError(
            f"{len(failed)} of {len(self.jobs)} jobs did not succeed: {reasons}{more}",
            hint=f"mlcube-remote rerun {self.run_id} --failed",
        )


@attrs.frozen(kw_only=True)
class Results:
    """The results of a run; docs/reference/results.md describes them."""

    document: Mapping[str, Any]
    """The index of the results."""

    def rows(self, sort: str | None = None) -> list[dict[str, Cell]]:
        """Return a row per job: column → cell, as ``results show --csv`` has them.

        Args:
            sort: A column to sort by; with a leading ``-``, the largest value is first.

        Raises:
            UsageError: There is no such column.
        """
        return results_rows(sort_jobs(self.document["jobs"], sort))


def results(run: str | os.PathLike[str]) -> Results:
    """Return the results of a run, without asking any host.

    Args:
        run: Its id, enough of its start or end, or the path of its results.

    Raises:
        MLCubeRemoteError: There is no such run, or its results cannot be read.
    """
    return Results(document=app.results.find_results(os.fspath(run), warn))
