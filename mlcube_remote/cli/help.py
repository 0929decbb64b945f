# SPDX-License-Identifier: Apache-2.0
"""The help page of a command: its options in groups, and examples at its end."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click
from click.core import ParameterSource

from mlcube_remote.cli.examples import EXAMPLES
from mlcube_remote.errors import UsageError

MANY_OPTIONS = 8
"""Number of options that are still one list."""

OTHERS = "Options"
"""The group of the options that only some commands have; it comes first."""

_GROUPS: dict[str, str] = {
    "Hosts": "--host --inventory --where",
    "Cube and task": "--mlcube --task --workspace -P --env --copy-links --allow-missing "
    "--fresh-outputs",
    "Sweeps and shards": "--sweep --sweep-file --shard --sample --seed --retries --retry-on",
    "Container": "--platform --network --security --gpus --memory --cpu --mount --slurm "
    "--ship-image --trust-cube",
    "Start and end of jobs": "--name --run-id --detach --wait --parallel --timeout --grace "
    "--fail-fast --max-failures --reconnect-timeout --on-interrupt --dry-run",
    "Login": "--ask-password --ask-passphrase",
    "Output": "--gather --quiet --verbose --output --events --junit --report --notify --help",
}
"""Title of a group → its options, in the order of the page. Short lists need no groups."""

_GROUP_OF = {name: title for title, names in _GROUPS.items() for name in names.split()}
_RANGE = re.compile(r"\bx>=(\d+)")
_BOTH_ENDS = re.compile(r"\b(\d+)<=x<=(\d+)")
_NO_RANGE = re.compile(r"  \[x>=0\]|; x>=0(?=\])")
_ORDER = {name: place for place, name in enumerate(_GROUP_OF)}


class HelpfulCommand(click.Command):
    """A command whose help page has groups of options, and examples.

    It refuses empty values of options: the user's shell has made them from a variable that is not
    set, and an empty value is not the default.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line.

        Raises:
            UsageError: An option has an empty value.
        """
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            for option in self.params:
                if isinstance(option, click.Option) and _is_empty(ctx, option):
                    raise UsageError(
                        f"{_name(option)}: expected a value, and it is empty",
                        hint="set the variable in it, or omit the option",
                    )
        return rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options: in groups if there are many."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for title, members in grouped(options).items():
            records = [each.get_help_record(ctx) for each in members]
            with formatter.section(title):
                formatter.write_dl(
                    [(name, _readable(about)) for name, about in filter(None, records)]
                )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples. Their lines are not wrapped, so that they can be copied."""
        super().format_epilog(ctx, formatter)
        _, _, name = ctx.command_path.partition(" ")
        if name not in EXAMPLES:
            return
        with formatter.section("Examples"):
            indent = " " * formatter.current_indent
            for about, line in EXAMPLES[name]:
                formatter.write(f"{indent}# {about}\n{indent}{line}\n")


def grouped(options: Sequence[click.Option]) -> dict[str, list[click.Option]]:
    """Return title → options, in the order of the help page."""
    if len(options) <= MANY_OPTIONS + 1:  # --help is one of them
        return {OTHERS: list(options)}
    found: dict[str, list[click.Option]] = {title: [] for title in (OTHERS, *_GROUPS)}
    for option in sorted(options, key=lambda each: _ORDER.get(_name(each), -1)):
        found[_GROUP_OF.get(_name(option), OTHERS)].append(option)
    return {title: members for title, members in found.items() if members}


def _is_empty(ctx: click.Context, option: click.Option) -> bool:
    """Return whether the command line has an empty value of an option."""
    assert option.name is not None  # noqa: S101 - an option has one
    has_optional_value = option.flag_value == ""
    is_given = ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    if has_optional_value or not is_given:
        return False
    value = ctx.params.get(option.name)
    return value == "" or (isinstance(value, tuple) and "" in value)


def _readable(text: str) -> str:
    """Return a help text with click's note on the range of a number in words."""
    text = _BOTH_ENDS.sub(r"\1 to \2", _NO_RANGE.sub("", text))
    return _RANGE.sub(r"at least \1", text)


def _name(option: click.Option) -> str:
    """Return the name that is listed above: the longest one without ``no-``."""
    return max(option.opts, key=len)
