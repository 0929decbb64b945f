# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote init`` and ``schema``: start a cube, and help editors with its files."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from mlcube_remote import app
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.output_formats import output_option
from mlcube_remote.cli.printing import print_value


@click.command(cls=HelpfulCommand)
@click.argument("directory", default=".", type=click.Path())
@click.option(
    "--script",
    type=click.Path(),
    metavar="FILE",
    help="Make a cube that runs this Python or shell script; a Dockerfile is written for it.",
)
@click.option(
    "--dockerfile", type=click.Path(), metavar="FILE", help="Make a cube from this Dockerfile."
)
@output_option
def init(directory: str, script: str | None, dockerfile: str | None, output: str) -> None:
    """Write the files of a new cube: from nothing, or around a script or a Dockerfile.

    Files that exist are never changed.
    """
    made = app.new_cube.create_cube(
        Path(directory),
        script=None if script is None else Path(script),
        dockerfile=None if dockerfile is None else Path(dockerfile),
    )
    paths = [os.path.join(directory, name) for name in made.files]
    where = "" if directory == "." else f" --mlcube={shlex.quote(directory)}"
    lines = [
        *(f"wrote {path}" for path in paths),
        f"run it here:    mlcube-remote run --host=local{where} --task={made.task}",
        f"run it there:   mlcube-remote run --host=NAME{where} --task={made.task}",
        f"after an edit:  mlcube-remote configure --host=NAME{where}",
    ]
    print_value(
        made,
        output,
        document=lambda cube: {"cube": directory, "files": paths, "task": cube.task},
        text=lambda _: "\n".join(lines),
    )


@click.command(cls=HelpfulCommand)
@click.argument("name", metavar="mlcube|hosts", type=click.Choice(["mlcube", "hosts"]))
def schema(name: str) -> None:
    """Print the JSON Schema of mlcube.yaml or hosts.yaml, for editors.

    Write it into a file, and name the file in the first line of the YAML file:
    "# yaml-language-server: $schema=FILE".
    """
    click.echo(app.new_cube.read_schema(name), nl=False)
