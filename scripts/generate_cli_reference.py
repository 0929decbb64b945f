# SPDX-License-Identifier: Apache-2.0
"""Write docs/reference/command-line.md from the commands and options of the package.

The texts come from the definitions of the options, not from click's help pages: those depend on the
version of click and on the width of the terminal.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from mlcube_remote.cli.examples import EXAMPLES
from mlcube_remote.cli.main import cli

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "command-line.md"
PROGRAM = "mlcube-remote"
_DEFAULT_IN_TEXT = re.compile(r"\s*\[(default: [^\]]*)\]")

_INTRODUCTION = """\
<!-- Written by scripts/generate_cli_reference.py: run `make docs-reference`, do not edit. -->

# Command line

`mlcube-remote COMMAND --help` prints the same texts.

- `RUN` is a run's name, a part of its id, or `last`; `RUN/03` and `RUN/gpu01` are one of its jobs.
- `HOSTS` are names, groups, globs, ranges and exclusions: see
  [Inventory](inventory.md#choosing-hosts).
- `TIME` is a time such as `90s`, `10m`, `8h` or `7d`; a number without a unit is in seconds.

[Exit codes](exit-codes.md) lists the exit codes.
"""


def reference() -> str:
    """Return the page."""
    parts = [_INTRODUCTION]
    for path, command in commands(cli, (PROGRAM,)):
        parts.append(section(path, command))
    return "\n".join(parts)


def commands(
    group: click.Group, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command that can be run, and the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def section(path: tuple[str, ...], command: click.Command) -> str:
    """Return the part of the page for one command."""
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    options = [
        param for param in command.params if isinstance(param, click.Option) and not param.hidden
    ]
    usage = " ".join([*path, "[OPTIONS]", *map(_argument, arguments)])
    rows = [f"| {_names(option)} | {_cell(_meaning(option))} |" for option in options]
    parts = [f"## `{' '.join(path[1:])}`", f"```text\n{usage}\n```", _prose(command)]
    if rows:
        parts.append("\n".join(["| option | meaning |", "| --- | --- |", *rows]))
    if examples := EXAMPLES.get(" ".join(path[1:]), ()):
        lines = "\n".join(f"# {about}\n{line}" for about, line in examples)
        parts.append(f"```sh\n{lines}\n```")
    return "\n\n".join(parts) + "\n"


def _prose(command: click.Command) -> str:
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or _placeholder(argument)
    # Click puts brackets and dots around the names that it makes itself, and so does this.
    if argument.metavar is None or not argument.metavar.startswith("["):
        name = name if argument.required or name.startswith("{") else f"[{name}]"
        name += "..." if argument.nargs == -1 and not name.endswith("...") else ""
    return name


def _placeholder(param: click.Parameter) -> str:
    if isinstance(param.type, click.Choice):
        return "{" + "|".join(map(str, param.type.choices)) + "}"
    if isinstance(param, click.Argument):
        return (param.name or "").upper()
    return "N" if isinstance(param.type, click.types.IntParamType) else param.type.name.upper()


def _names(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.metavar or _placeholder(option)}"
    names = sorted([*option.opts, *option.secondary_opts], key=len)
    return ", ".join(f"`{_cell(name + (value if name == names[-1] else ''))}`" for name in names)


def _meaning(option: click.Option) -> str:
    text = " ".join((option.help or "").split())
    notes = _DEFAULT_IN_TEXT.findall(text)
    text = _DEFAULT_IN_TEXT.sub("", text)
    if option.required:
        notes.append("required")
    if isinstance(option.show_default, str):
        notes.append(f"default: {option.show_default}")
    elif option.show_default:
        default = option.default
        notes.append(f"default: {', '.join(default) if isinstance(default, tuple) else default}")
    if isinstance(option.type, click.IntRange):
        notes.append(_range(option.type))
    return f"{text} ({'; '.join(notes)})" if notes else text


def _range(type_: click.IntRange) -> str:
    if type_.max is None:
        return f"at least {type_.min}"
    return f"{type_.min} to {type_.max}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
