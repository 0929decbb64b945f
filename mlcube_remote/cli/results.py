# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote results``: what a run has come to, without asking any host."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mlcube_remote.cli import options as shared
from mlcube_remote.errors import UsageError


@click.group()
def results() -> None:
    """Show what runs have come to."""


@results.command()
@shared.run_argument
@click.option("--csv", "form", flag_value="csv", help="For spreadsheets.")
@click.option("--json", "form", flag_value="json", help="For programs: everything that is known.")
@click.option(
    "--sort", metavar="COLUMN", help="Order by a column, such as accuracy; -accuracy: best first."
)
def show(run_text: str, form: str | None, sort: str | None) -> None:
    """Show how each job of a run ended, and the numbers in its JSON and YAML outputs.

    RUN is a run's id, or enough of its beginning or end, or the path of its results.
    """
    from mlcube_remote.ui.results import ordered, results_csv, results_text  # noqa: PLC0415

    index = find_index(run_text)
    jobs = ordered(index["jobs"], sort)
    if form == "json":
        from mlcube_remote.ui.document import dump  # noqa: PLC0415

        dump({**index, "jobs": jobs}, sys.stdout)
    elif form == "csv":
        click.echo(results_csv(jobs), nl=False)
    else:
        click.echo(results_text(jobs))


def find_index(text: str) -> dict[str, Any]:
    """Return the index that ``text`` means.

    Raises:
        UsageError: There is none, or there are several.
    """
    from mlcube_remote.runs.results_index import FILE, compile_index, read_index  # noqa: PLC0415
    from mlcube_remote.runs.store import Store  # noqa: PLC0415

    path = Path(text)
    if path.is_file() or (path / FILE).is_file():
        return read_index(path if path.is_file() else path / FILE)
    store = Store()
    found = store.matching(text)
    if not found:
        raise UsageError(
            f"no results of a run {text!r} are known here",
            hint="mlcube-remote pull RUN brings them home; mlcube-remote ps --all lists the runs",
        )
    if len(found) > 1:
        names = f"{', '.join(found[:5])}{' …' if len(found) > 5 else ''}"
        raise UsageError(f"run {text!r} may be any of {names}", hint="give more of its id")
    return compile_index(
        found[0], store, lambda problem: click.echo(f"warning: {problem}", err=True)
    )
