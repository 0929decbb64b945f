# SPDX-License-Identifier: Apache-2.0
"""The ``mlcube-remote`` command: find the subcommand, run it, print errors, and exit."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from mlcube_remote._version import __version__
from mlcube_remote.cli import COMPLETE
from mlcube_remote.cli.standard_streams import LOST_OUTPUT, READER_GONE, prepare_standard_streams
from mlcube_remote.errors import MLCubeRemoteError, RecordError, UnexpectedError, UsageError

_COMMANDS = {
    "run": ("mlcube_remote.cli.run", "Run tasks of a cube on one or many hosts."),
    "configure": ("mlcube_remote.cli.run", "Upload a cube to hosts, and pull or build its image."),
    "rerun": ("mlcube_remote.cli.rerun", "Run jobs of a run again, all or those that failed."),
    "attach": ("mlcube_remote.cli.jobs", "Follow a run, and pull its outputs."),
    "ps": ("mlcube_remote.cli.ps", "List the jobs on all hosts."),
    "status": ("mlcube_remote.cli.jobs", "Show the state of each job of a run."),
    "logs": ("mlcube_remote.cli.jobs", "Print the output of a run's tasks."),
    "wait": ("mlcube_remote.cli.jobs", "Wait until a run has ended."),
    "stop": ("mlcube_remote.cli.jobs", "Stop a run's jobs."),
    "exec": ("mlcube_remote.cli.exec", "Run a command in the container of a run's task."),
    "shell": ("mlcube_remote.cli.exec", "Open a shell in the container of a run's task."),
    "pull": ("mlcube_remote.cli.jobs", "Pull the outputs of a run."),
    "results": ("mlcube_remote.cli.results", "List runs, and show the results of some."),
    "report": ("mlcube_remote.cli.html_report", "Write a report of a run, as one HTML file."),
    "export": ("mlcube_remote.cli.export", "Export a run as an RO-Crate, or to MLflow."),
    "verify": ("mlcube_remote.cli.compare", "Compare the files of a run with its record."),
    "diff": ("mlcube_remote.cli.compare", "Show what differs between two runs."),
    "clean": ("mlcube_remote.cli.ps", "Remove what ended jobs and unused cubes left on hosts."),
    "trust": (
        "mlcube_remote.cli.trust",
        "Show what a cube asks for outside its directory and container, and allow it.",
    ),
    "init": ("mlcube_remote.cli.init", "Write the files of a new cube."),
    "describe": ("mlcube_remote.cli.describe", "Show a cube: its tasks, parameters and platforms."),
    "login": ("mlcube_remote.cli.login", "Log in to hosts once, for later commands."),
    "logout": ("mlcube_remote.cli.login", "End the logins to hosts."),
    "hosts": ("mlcube_remote.cli.hosts", "Add, list, check and watch hosts."),
    "schema": ("mlcube_remote.cli.init", "Print the JSON Schema of mlcube.yaml or hosts.yaml."),
    "sandbox": (
        "mlcube_remote.cli.sandbox",
        "Start throw-away SSH hosts on this machine.",
    ),
    "completion": ("mlcube_remote.cli.completion", "Print the shell completion script."),
}


class _LazyGroup(click.Group):
    """Imports a subcommand only when it is used, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[cmd_name][0]), cmd_name)
        return command

    def main(self, *args: Any, **more: Any) -> Any:
        """Run the command line, or print completions for a shell."""
        if COMPLETE in os.environ:
            import_module("mlcube_remote.cli.completion")
        return super().main(*args, **more)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; suggest another one for a name that does not exist."""
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            from mlcube_remote.cli.misuse import unknown_command  # noqa: PLC0415 - on a mistake

            raise unknown_command(args[0], list(_COMMANDS))
        return super().resolve_command(ctx, args)

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
    """Run MLCube tasks on machines that you reach over SSH, as if they ran on this one."""


def run(args: list[str] | None = None) -> int:
    """Run the command line and return its exit code; errors come out as exceptions.

    Raises:
        MLCubeRemoteError: An error for the user.
        click.ClickException: The command line could not be parsed.
        KeyboardInterrupt: The user interrupted the command; its threads may still talk to hosts.
    """
    try:
        result = cli.main(args=args, prog_name="mlcube-remote", standalone_mode=False)
    except SystemExit as gone:
        # Click exits like this if the reader closes the pipe, with a misleading exit code.
        raise BrokenPipeError from gone
    except click.exceptions.Abort as abort:
        if isinstance(abort.__cause__, KeyboardInterrupt):
            raise abort.__cause__ from None
        raise  # a question that was not answered
    return result if isinstance(result, int) else 0


def main() -> NoReturn:
    """Run the command line, print errors, and exit."""
    # Imports create a hundred thousand objects that live as long as the process. Collecting garbage
    # among them again and again would take a tenth of a short command's time.
    gc.set_threshold(100_000)
    # A thread that computes, or imports, keeps the others from running for this time, in seconds:
    # each answer of a host would wait for five times as long.
    sys.setswitchinterval(0.001)
    prepare_standard_streams()
    code = _flush(execute())
    # Python collects garbage once more at its exit, whatever the threshold.
    gc.freeze()
    sys.exit(code)


def _flush(code: int) -> int:
    """Write what standard output still holds; return the exit code, also of output that is lost."""
    lost: OSError | None = LOST_OUTPUT[0] if LOST_OUTPUT else None
    try:
        sys.stdout.flush()
    except OSError as problem:
        # Python would report it again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # The reader has closed the pipe (`| head`), or the disk is full.
        if not isinstance(problem, BrokenPipeError):
            lost = lost or problem
    if code == 0 and lost is not None:
        from mlcube_remote.ui.errors import print_error  # noqa: PLC0415 - only on an error

        print_error(RecordError.of_output(lost), sys.stderr)
        return RecordError.exit_code
    return code


def _wants_json(args: list[str]) -> bool:
    """Return whether a command line asks for JSON; it may be one that cannot be parsed."""
    words = args[: args.index("--")] if "--" in args else args
    pairs = zip(["", *words], words, strict=False)
    return any(
        word in ("--json", "--output=json", "-ojson")
        or (before in ("--output", "-o") and word == "json")
        for before, word in pairs
    )


def _print_failure(error: MLCubeRemoteError, args: list[str] | None) -> int:
    """Print an error that ended the command, as a document too if JSON was asked for.

    Returns:
        The exit code.
    """
    from mlcube_remote.ui.errors import print_error  # noqa: PLC0415 - only on an error

    print_error(error, sys.stderr)
    _print_document(error, args)
    return error.exit_code


def _print_document(error: MLCubeRemoteError, args: list[str] | None) -> None:
    if _wants_json(sys.argv[1:] if args is None else args):
        from mlcube_remote.ui.files.json_output import dump, failure_document  # noqa: PLC0415

        with contextlib.suppress(OSError):  # the problem may be standard output itself
            dump(failure_document(error), sys.stdout)


def _print_misuse(problem: click.ClickException, args: list[str] | None) -> None:
    """Print an error of the command line in the form of all other errors."""
    if isinstance(problem, click.exceptions.NoArgsIsHelpError):
        problem.show()
        return
    from mlcube_remote.cli.misuse import misuse  # noqa: PLC0415 - only on a mistake

    _print_failure(misuse(problem, sys.argv[1:] if args is None else args, cli), args)


_STARTS_OR_ENDS_JOBS = frozenset({"run", "rerun", "attach", "wait", "stop"})
"""Commands whose interrupt leaves the user in doubt about jobs."""


def _leave_at_once(args: list[str]) -> NoReturn:
    """Exit now: Python would wait for threads that still talk to hosts."""
    sys.stdout.flush()
    is_in_doubt = bool(args) and args[0] in _STARTS_OR_ENDS_JOBS
    doubt = "; jobs may still be running: mlcube-remote ps lists them" if is_in_doubt else ""
    click.echo(f"interrupted{doubt}", err=True)
    os._exit(130)


_REMOVED = UsageError(
    "the current directory was removed", hint="change to a directory that exists: cd"
)


def _is_directory_removed() -> bool:
    """Return whether the current directory does not exist any more."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _complete(args: list[str] | None) -> int:
    """Print completions for a shell; whatever goes wrong, print nothing on the user's prompt."""
    try:
        return run(args)
    except BrokenPipeError:
        return 0  # that is how click ends
    except (Exception, KeyboardInterrupt):  # noqa: BLE001 - the user did not ask for anything yet
        return 1


def execute(args: list[str] | None = None) -> int:
    """Run the command line, print errors, and return the exit code."""
    if COMPLETE in os.environ:
        return _complete(args)
    try:
        return run(args)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return 130
    except KeyboardInterrupt:
        _leave_at_once(sys.argv[1:] if args is None else args)
    except click.ClickException as problem:
        _print_misuse(problem, args)
        return problem.exit_code
    except BrokenPipeError:
        return READER_GONE
    except MLCubeRemoteError as problem:
        return _print_failure(problem, args)
    except Exception as problem:  # noqa: BLE001 - a bug: written to a file, reported in a line
        if isinstance(problem, FileNotFoundError) and _is_directory_removed():
            return _print_failure(_REMOVED, args)
        from mlcube_remote.ui.errors import report_crash  # noqa: PLC0415

        report_crash(problem, sys.stderr)
        bug = UnexpectedError("", f"a bug in mlcube-remote: {problem!r}")
        error = RecordError.of_system(problem) or bug
        _print_document(error, args)
        return error.exit_code
