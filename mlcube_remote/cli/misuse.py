# SPDX-License-Identifier: Apache-2.0
"""Errors of the command line that click finds, in the form of all other errors."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mlcube_remote.errors import UsageError
from mlcube_remote.suggestions import nearest

_COMMANDS_OF_OTHERS = {
    "help": "a page for each command: mlcube-remote COMMAND --help",
    "version": "mlcube-remote --version",
    "ssh": "in a task's container: mlcube-remote shell RUN; on a host: ssh HOST",
    "cp": "outputs: mlcube-remote pull RUN; other files: mlcube-remote exec RUN -- cat FILE > FILE",
    **dict.fromkeys(("submit", "launch", "apply", "start"), "mlcube-remote run"),
    **dict.fromkeys(("list", "ls", "queue", "jobs"), "mlcube-remote ps"),
    **dict.fromkeys(("cancel", "kill", "abort", "scancel"), "mlcube-remote stop RUN"),
    **dict.fromkeys(("tail", "log", "output"), "mlcube-remote logs RUN"),
    **dict.fromkeys(("rsync", "download", "fetch", "get"), "mlcube-remote pull RUN"),
    **dict.fromkeys(("build", "upload", "push"), "mlcube-remote configure"),
    **dict.fromkeys(("rm", "prune", "purge", "gc"), "mlcube-remote clean"),
    **dict.fromkeys(("tasks", "info"), "mlcube-remote describe"),
    **dict.fromkeys(("check", "doctor", "ping"), "mlcube-remote hosts check"),
    **dict.fromkeys(("top", "disk"), "mlcube-remote hosts top; mlcube-remote hosts disk"),
    **dict.fromkeys(("retry", "resume", "requeue"), "mlcube-remote rerun RUN --failed"),
}
"""Command of another program → what does this here."""

_CUBE_OPTIONS = ("--mlcube", "--cube", "--dir", "-C")

_OPTIONS_OF_OTHERS = {
    **dict.fromkeys(("--hosts", "--limit", "--on", "-l"), "--host"),
    **dict.fromkeys(("--check", "-n"), "--dry-run"),
    **dict.fromkeys(("--forks", "--jobs", "--workers", "-f", "-j"), "--parallel"),
    **dict.fromkeys(("--time", "--time-limit", "-t"), "--timeout"),
    **dict.fromkeys(("--background", "--detached", "--no-wait", "-b"), "--detach"),
    **dict.fromkeys(("--environment", "-e"), "--env"),
    **dict.fromkeys(("--gpu", "--gres", "--num-gpus"), "--gpus"),
    **dict.fromkeys(("--grid", "--array", "--multirun", "-m"), "--sweep"),
    **dict.fromkeys(_CUBE_OPTIONS[1:], "--mlcube"),
    "--tasks": "--task",
    **dict.fromkeys(("--follow-symlinks", "-L"), "--copy-links"),
    **dict.fromkeys(("--user", "--remote-user", "--port", "-u", "-p"), "--host=USER@HOST:PORT"),
    "--image": "-P docker.image=NAME",
    "--format": "--output",
    "--json": "--output=json",
}
"""Option of another program, or a near miss → the option that does this here."""

_KEY_OPTIONS = frozenset({"--key", "--key-file", "--private-key", "--identity", "--identity-file"})

_SIMILAR = 0.75
"""Similarity of two options that is enough for a suggestion; click's is lower, and misleads."""


def unknown_command(name: str, known: Sequence[str]) -> UsageError:
    """Return the error for a command that does not exist."""
    if about := _COMMANDS_OF_OTHERS.get(name):
        return UsageError(f"No such command '{name}'.", hint=about)
    near = nearest(name, known)
    meant = f" Did you mean '{near}'?" if near else ""
    return UsageError(f"No such command '{name}'.{meant}", hint="mlcube-remote --help")


def misuse(problem: click.ClickException, args: Sequence[str], root: click.Command) -> UsageError:
    """Return click's error as one of ours, with a hint.

    Args:
        problem: What click has found.
        args: The command line without the program's name.
        root: The program.
    """
    context = problem.ctx if isinstance(problem, click.UsageError) else None
    path = context.command_path if context else _path(args, root)
    hint = f"{path} --help"
    if context is None:
        return UsageError(problem.format_message(), hint=hint)
    options = [each for option in context.command.params for each in option.opts]
    if isinstance(problem, click.NoSuchOption):
        if problem.option_name in _CUBE_OPTIONS and "directory" in options:
            hint = f"the directory of the cube is an argument: {path} PATH; {hint}"
            return UsageError(f"No such option '{problem.option_name}'.", hint=hint)
        return _unknown_option(problem.option_name, options, hint)
    if "--mlcube" in options and "unexpected extra argument" in problem.message:
        hint = f"the cube is an option: --mlcube=PATH; {hint}"
    return UsageError(problem.format_message(), hint=hint)


def _unknown_option(name: str, options: Sequence[str], hint: str) -> UsageError:
    """Return the error for an option that does not exist."""
    if name in _KEY_OPTIONS and "--host" in options:
        hint = "set identity_file in hosts.yaml, or IdentityFile in ~/.ssh/config"
        return UsageError(f"No such option '{name}'.", hint=hint)
    here = _OPTIONS_OF_OTHERS.get(name, "")
    opposite = f"--{name.removeprefix('--no-')}"
    if not here and name.startswith("--no-") and opposite in options:
        return UsageError(f"No such option '{name}'.", hint=f"omit {opposite}; {hint}")
    if here.replace("=", " ").partition(" ")[0] not in options:
        here = nearest(name, options, _SIMILAR) or ""
    meant = f" Did you mean {here}?" if here else ""
    return UsageError(f"No such option '{name}'.{meant}", hint=hint)


def _path(args: Sequence[str], root: click.Command) -> str:
    """Return the names of the command that a command line asks for: click forgets it sometimes."""
    names, command = ["mlcube-remote"], root
    for word in args:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(click.Context(command), word)
        if found is None:
            break
        names.append(word)
        command = found
    return " ".join(names)
