# SPDX-License-Identifier: Apache-2.0
"""The help pages: they fit a terminal, their options are in groups, their examples are right."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from mlcube_remote.cli.examples import EXAMPLES
from mlcube_remote.cli.help import MANY_OPTIONS, OTHERS, HelpfulCommand, grouped
from mlcube_remote.cli.main import cli

PROGRAM = "mlcube-remote"


def commands(
    group: click.Group, parent: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield each command, groups included, and its context."""
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command is not None
        context = command.context_class(command, parent=parent, info_name=name, terminal_width=80)
        yield command, context
        if isinstance(command, click.Group):
            yield from commands(command, context)


ROOT = click.Context(cli, info_name=PROGRAM, terminal_width=80)
COMMANDS = {context.command_path: (command, context) for command, context in commands(cli, ROOT)}
LINES = [line for examples in EXAMPLES.values() for _, line in examples]


@pytest.mark.parametrize("path", COMMANDS)
def test_each_line_of_a_page_fits_80_columns(path: str) -> None:
    command, context = COMMANDS[path]
    too_long = [line for line in command.get_help(context).splitlines() if len(line) > 80]
    assert too_long == []


@pytest.mark.parametrize("path", COMMANDS)
def test_numbers_have_no_notation_of_click(path: str) -> None:
    command, context = COMMANDS[path]
    page = command.get_help(context)
    assert not re.search("INTEGER|RANGE|x>=|<=x", page)


@pytest.mark.parametrize("path", COMMANDS)
def test_a_list_of_commands_has_whole_sentences(path: str) -> None:
    command, context = COMMANDS[path]
    if isinstance(command, click.Group):
        assert "..." not in command.get_help(context).partition("\nCommands:\n")[2]


@pytest.mark.parametrize("path", COMMANDS)
def test_a_page_with_many_options_has_groups_and_examples(path: str) -> None:
    command, context = COMMANDS[path]
    options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    if len(options) <= MANY_OPTIONS + 1:
        return
    page = command.get_help(context)
    assert isinstance(command, HelpfulCommand)
    assert len(grouped(options)) >= 3
    assert "\nOutput:\n" in page
    assert "\nExamples:\n" in page
    assert "x>=" not in page
    for option in options:
        name, _ = option.get_help_record(context) or ("", "")
        assert page.count(f"\n  {name}") == 1


def test_the_examples_are_of_commands_that_show_them() -> None:
    for name in EXAMPLES:
        assert isinstance(COMMANDS[f"{PROGRAM} {name}"][0], HelpfulCommand), name


def test_run_has_three_examples_and_no_option_without_a_group() -> None:
    command, context = COMMANDS[f"{PROGRAM} run"]
    assert len(EXAMPLES["run"]) == 3
    options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    assert OTHERS not in grouped(options)


@pytest.mark.parametrize("line", LINES)
def test_an_example_is_a_command_that_can_be_parsed(line: str) -> None:
    line = re.sub(r'^eval "\$\((.*)\)"$', r"\1", line)
    line = re.split(" && | > | [|] ", line)[0]
    words = shlex.split(line)[1:]
    command: click.Command = cli
    context = ROOT
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"{line}: no command {name}"
        command = found
    command.make_context(line, words, parent=context)
