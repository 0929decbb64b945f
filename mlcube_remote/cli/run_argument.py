# SPDX-License-Identifier: Apache-2.0
"""The argument RUN of the commands about one run.

It is apart from the options, because ``results`` has only this argument: the options import the
classes of their values, which takes longer than everything else that ``results --help`` does.
"""

from __future__ import annotations

import click


def complete_runs(_: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the id of a recorded run."""
    from mlcube_remote.runs.store import Store  # noqa: PLC0415 - only on completion

    return [run_id for run_id in Store().runs() if run_id.startswith(incomplete)]


run_argument = click.argument("run_text", metavar="RUN", shell_complete=complete_runs)
