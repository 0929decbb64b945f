# SPDX-License-Identifier: Apache-2.0
"""The ``mlcube-remote`` command: finds the subcommand, and is the one place that exits."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from mlcube_remote._version import __version__
from mlcube_remote.errors import MLCubeRemoteError

_COMMANDS = {
    "run": ("mlcube_remote.cli.run", "Run tasks of a cube on one or many hosts."),
    "configure": ("mlcube_remote.cli.run", "Send a cube to hosts and make its image ready there."),
    "rerun": ("mlcube_remote.cli.rerun", "Run jobs of a run again that did not succeed."),
    "attach": ("mlcube_remote.cli.jobs", "Follow a run again, and pull its outputs."),
    "ps": ("mlcube_remote.cli.ps", "List the jobs on all hosts."),
    "status": ("mlcube_remote.cli.jobs", "Tell how each job of a run stands."),
    "logs": ("mlcube_remote.cli.jobs", "Print what a run's tasks wrote."),
    "wait": ("mlcube_remote.cli.jobs", "Wait until a run has ended."),
    "stop": ("mlcube_remote.cli.jobs", "Stop a run's jobs."),
    "pull": ("mlcube_remote.cli.jobs", "Bring home what a run has made."),
    "results": ("mlcube_remote.cli.results", "Show what a run has come to, best trial first."),
    "clean": ("mlcube_remote.cli.ps", "Remove what ended jobs left on hosts."),
    "describe": ("mlcube_remote.cli.describe", "Show a cube: its tasks, parameters and platforms."),
    "hosts": ("mlcube_remote.cli.hosts", "List, show and check the hosts of the inventory."),
    "sandbox": ("mlcube_remote.cli.sandbox", "Throw-away SSH hosts on this machine, to try it on."),
    "completion": ("mlcube_remote.cli.completion", "Print the shell completion script."),
}

COMPLETE = "_MLCUBE_REMOTE_COMPLETE"
"""The variable with which a shell asks what a line could go on with."""


class _LazyGroup(click.Group):
    """Imports a subcommand only when it is asked for, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[cmd_name][0]), cmd_name)
        return command

    def main(self, *args: Any, **more: Any) -> Any:
        """Run the command line, or tell a shell what it could go on with."""
        if COMPLETE in os.environ:
            import_module("mlcube_remote.cli.completion")
        return super().main(*args, **more)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command for one that does not exist."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as problem:
            from difflib import get_close_matches  # noqa: PLC0415 - only on a mistake

            near = get_close_matches(args[0], _COMMANDS, 1)
            if near:
                raise click.UsageError(
                    f"No such command '{args[0]}'. Did you mean '{near[0]}'?", ctx
                ) from problem
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in _COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start here: mlcube-remote run --host=NAME --task=TASK, in the directory of a cube.",
)
@click.version_option(__version__, prog_name="mlcube-remote")
def cli() -> None:
    """Run MLCube tasks on machines that you reach over SSH, as if they ran here."""


def run(args: list[str] | None = None) -> int:
    """Run the command line and return its exit code; errors come out as exceptions.

    Raises:
        MLCubeRemoteError: Something went wrong that the user should know.
        click.ClickException: The command line could not be parsed.
    """
    try:
        result = cli.main(args=args, prog_name="mlcube-remote", standalone_mode=False)
    except SystemExit as gone:
        # Click's own way to end where the reader has gone, with a code that says something else.
        raise BrokenPipeError from gone
    return result if isinstance(result, int) else 0


def main() -> NoReturn:
    """Run the command line, print what went wrong, and exit."""
    # Imports make a hundred thousand objects that live as long as the process: looking through them
    # for garbage, again and again, would take a tenth of a short command's time.
    gc.set_threshold(100_000)
    code = execute()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`| head`); Python would complain of it once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # At its exit Python looks through all of them once more, whatever the threshold.
    gc.freeze()
    sys.exit(code)


def _print_misuse(problem: click.ClickException) -> None:
    """Say what is wrong with the command line, in the form of all other errors."""
    if isinstance(problem, click.exceptions.NoArgsIsHelpError):
        problem.show()
        return
    from mlcube_remote.ui.errors import print_error  # noqa: PLC0415 - only on an error

    context = problem.ctx if isinstance(problem, click.UsageError) else None
    command = context.command_path if context else "mlcube-remote"
    told = MLCubeRemoteError(problem.format_message(), hint=f"{command} --help")
    print_error(told, sys.stderr)


def _leave_at_once() -> NoReturn:
    """End now: Python itself would wait for the threads that still talk to hosts."""
    sys.stdout.flush()
    click.echo("interrupted; what runs on hosts may go on: mlcube-remote ps lists it", err=True)
    os._exit(130)


def execute(args: list[str] | None = None) -> int:
    """Run the command line, print what went wrong, and return the exit code."""
    try:
        return run(args)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return 130
    except KeyboardInterrupt:
        _leave_at_once()
    except click.ClickException as problem:
        _print_misuse(problem)
        return problem.exit_code
    except BrokenPipeError:
        return 141
    except MLCubeRemoteError as problem:
        from mlcube_remote.ui.errors import print_error  # noqa: PLC0415 - only on an error

        print_error(problem, sys.stderr)
        return problem.exit_code
    except Exception as problem:  # noqa: BLE001 - a bug: kept in a file, told in a line
        from mlcube_remote.ui.errors import report_crash  # noqa: PLC0415

        report_crash(problem, sys.stderr)
        return 70
