# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote trust``: review what a cube asks for outside its directory, and allow it."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from mlcube_remote import app
from mlcube_remote.app.options import CubeOptions
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.output_formats import output_option
from mlcube_remote.cli.printing import print_value
from mlcube_remote.errors import UsageError
from mlcube_remote.ui.text import sanitise

if TYPE_CHECKING:
    from mlcube_remote.app.trust import CubeReview


@click.command(cls=HelpfulCommand)
@click.argument("directory", metavar="[CUBE]", default=".", type=click.Path())
@click.option(
    "-P",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting of mlcube.yaml, such as docker.image=NAME.",
)
@click.option(
    "--inventory",
    type=click.Path(),
    metavar="FILE",
    help="Also review this file of the cube: a program that lists hosts.",
)
@click.option("--yes", "-y", is_flag=True, help="Allow all requests without a question.")
@click.option("--forget", is_flag=True, help="No longer trust this cube.")
@output_option
def trust(
    directory: str,
    overrides: tuple[str, ...],
    inventory: str | None,
    *,
    yes: bool,
    forget: bool,
    output: str,
) -> None:
    """Show what a cube asks for outside its directory and container, and allow it.

    A cube may use its directory, its workspace and its container. The list shows everything else
    that mlcube.yaml, and a hosts.yaml beside it, ask for. Your yes is remembered for these
    requests; if the cube adds or changes one, you are asked again.
    """
    options = CubeOptions(path=directory, overrides=overrides)
    if forget:
        known = app.trust.withdraw(options)
        print_value(
            known,
            output,
            document=lambda was_trusted: {"forgotten": was_trusted},
            text=lambda was_trusted: (
                "forgotten" if was_trusted else "nothing to forget: this cube was not trusted"
            ),
        )
        return
    review = app.trust.review(options, inventory)
    print_value(review, output, document=_document, text=_text)
    if not review.new or (output == "json" and not yes):
        return
    if not yes:
        _ask(directory, overrides, inventory)
    app.trust.allow(review)
    if output == "text":
        forget_it = shlex.join(["mlcube-remote", "trust", "--forget", directory])
        click.echo(f"allowed; to withdraw it: {forget_it}")


def _ask(directory: str, overrides: tuple[str, ...], inventory: str | None) -> None:
    """Ask the user.

    Raises:
        UsageError: The answer is no, or there is no terminal.
    """
    if not sys.stdin.isatty():
        more = [word for override in overrides for word in ("-P", override)]
        more += [] if inventory is None else ["--inventory", inventory]
        again = shlex.join(["mlcube-remote", "trust", "--yes", *more, directory])
        raise UsageError(
            "not allowed: there is no terminal for the question",
            hint=f"read the list, then: {again}",
        )
    if not click.confirm("Allow this?", default=False):
        raise UsageError("not allowed", hint="the cube can run if you give these values yourself")


def _document(review: CubeReview) -> dict[str, Any]:
    return {
        "cube": str(review.root),
        "requests": [
            {
                "where": request.where,
                "what": request.what,
                "allowed": request not in review.new,
            }
            for request in review.requests
        ],
    }


def _text(review: CubeReview) -> str:
    if not review.requests:
        return f"{review.root} asks for nothing outside its directory, workspace and container"
    lines = [f"{review.root} asks for this outside its directory, workspace and container:"]
    for request in review.requests:
        mark = "new    " if request in review.new else "allowed"
        sent = app.trust.describe_upload(request)
        more = f": {sent}" if sent else ""
        lines.append(sanitise(f"  {mark}  {request.where}: {request.what}{more}"))
    return "\n".join(lines)
