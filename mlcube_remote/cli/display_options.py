# SPDX-License-Identifier: Apache-2.0
"""Options for what a command shows, and in which form."""

from __future__ import annotations

from collections.abc import Callable

import click

from mlcube_remote.cli.option_groups import Display, F, combine, group
from mlcube_remote.cli.parameter_types import Notification, OutputFile

_gather = click.option(
    "--gather",
    is_flag=True,
    help="Group identical output of several hosts, and print it once at the end.",
)
_watch = (
    click.option(
        "--on-interrupt",
        type=click.Choice(["ask", "stop", "detach"]),
        default="ask",
        show_default=True,
        help="What Ctrl-C does to running jobs; without a terminal, 'ask' means 'stop'.",
    ),
    click.option(
        "--events", type=OutputFile(), metavar="FILE", help="Write events to FILE as JSON lines."
    ),
    click.option(
        "--junit",
        type=OutputFile(),
        metavar="FILE",
        help="Write the result of each task to FILE for CI systems (JUnit XML).",
    ),
    click.option(
        "--report",
        type=OutputFile(),
        metavar="FILE",
        help="Keep an HTML report of the run in FILE up to date, to look at in a browser.",
    ),
    click.option(
        "--notify",
        type=Notification(),
        metavar="COMMAND",
        help="When the run has ended, run COMMAND with facts about it in MLCUBE_REMOTE_* variables "
        "and as JSON on its input; 'desktop' shows a message.",
    ),
)


def _talk(quiet: str) -> Callable[[F], F]:
    return combine(
        click.option("--quiet", "-q", is_flag=True, help=quiet),
        click.option(
            "--verbose", "-v", is_flag=True, help="Also print each command that runs on a host."
        ),
    )


_talk_without_tasks = _talk("Print only errors, and what to do about them.")
_talk_with_tasks = _talk("Print only the tasks' output, errors, and what to do about them.")
_output = click.option(
    "--output",
    "-o",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Print text, or one JSON document on stdout; then everything else goes to stderr.",
)
gather_options = group("display", Display, _gather)
pull_display_options = group("display", Display, _talk_without_tasks, _output)
display_options = group("display", Display, _talk_without_tasks, _output)
watch_options = group("display", Display, *_watch, _talk_without_tasks, _output)
run_display_options = group("display", Display, _gather, *_watch, _talk_with_tasks, _output)
