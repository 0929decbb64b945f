# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote describe``: show a cube."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlcube_remote import app
from mlcube_remote.app.options import CubeOptions
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.output_formats import output_option
from mlcube_remote.cli.printing import print_value

if TYPE_CHECKING:
    from mlcube_remote.cube.model import Cube


@click.command(cls=HelpfulCommand)
@shared.cube_options
@output_option
def describe(cube: CubeOptions, output: str) -> None:
    """Show a cube: its tasks, parameters and platforms."""
    document = _document(app.request.load_cube(cube))
    print_value(document, output, document=dict, text=_text)


def _document(cube: Cube) -> dict[str, Any]:
    return {
        "name": cube.name,
        "description": cube.description,
        "root": str(cube.root),
        "workspace": str(cube.workspace),
        "platforms": {
            section: str(settings.get("image", "")) for section, settings in cube.settings.items()
        },
        "tasks": {
            task.name: [
                {
                    "name": parameter.name,
                    "io": parameter.io.value,
                    "type": parameter.type.value,
                    "value": parameter.value,
                }
                for parameter in task.parameters
            ]
            for task in cube.tasks.values()
        },
    }


def _text(document: dict[str, Any]) -> str:
    lines = [f"{document['name']}  {document['root']}"]
    if document["description"]:
        lines.append(document["description"])
    lines.append(f"workspace: {document['workspace']}")
    lines += [f"{section}: {image}" for section, image in document["platforms"].items()]
    for task, parameters in document["tasks"].items():
        lines += ["", f"task {task}"]
        width = max((len(item["name"]) for item in parameters), default=0)
        lines += [
            f"  {item['io']:<6} {item['name']:<{width}}  {item['value']}  ({item['type']})"
            for item in parameters
        ]
    return "\n".join(lines)
