# SPDX-License-Identifier: Apache-2.0
"""Commands of mlcube-remote as tasks for a fabfile.

A task passes its options to the command line of mlcube-remote, which checks them, logs in, shows
the jobs and reports errors. Fabric's own connection is not opened.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import fabric
from invoke.collection import Collection
from invoke.exceptions import Exit

from mlcube_remote.cli.main import execute
from mlcube_remote.errors import UsageError
from mlcube_remote.ui.errors import print_error

_HOST = "Hosts, as for mlcube-remote; by default the one of fab -H."
_INVENTORY = "Inventory of hosts."
_PASSWORD = "Ask for the login password."  # noqa: S105 - a help text
_RUN = "A run's name, a part of its id, or 'last'; RUN/03 is one of its jobs."
_CREDENTIALS = (
    ("key_filename", "--identity", "identity_file in hosts.yaml, or IdentityFile in ~/.ssh/config"),
    ("password", "--prompt-for-login-password", "--ask-password after the name of the task"),
    ("passphrase", "--prompt-for-passphrase", "an ssh-agent: ssh-add"),
)
"""Keyword of Paramiko, option of ``fab`` that sets it, and what to use instead."""

_HELP = {"host": _HOST, "inventory": _INVENTORY, "ask-password": _PASSWORD}
_CUBE_HELP = {
    **_HELP,
    "mlcube": "Directory of the cube, or its YAML file.",
    "platform": "Engine that runs the cube.",
    "trust-cube": "Allow everything that the cube asks for.",
}


@fabric.task(
    name="run",
    iterable=["parameter"],
    auto_shortflags=False,
    help={
        **_CUBE_HELP,
        "task": "Task to run; several with commas.",
        "parameter": "Parameter of the task, as NAME=VALUE; repeatable.",
        "gpus": "GPUs for the task: 2, all, device=0,1.",
        "detach": "Return as soon as every job has started.",
    },
)
def _run(
    c: Any,
    task: str = "",
    mlcube: str = ".",
    parameter: Iterable[str] | None = None,
    platform: str = "",
    gpus: str = "",
    detach: bool = False,
    trust_cube: bool = False,
    host: str = "",
    inventory: str = "",
    ask_password: bool = False,
) -> None:
    """Run tasks of a cube, and pull their outputs."""
    flags = {"detach": detach, "trust-cube": trust_cube, "ask-password": ask_password}
    values = {"task": task, "mlcube": mlcube, "platform": platform, "gpus": gpus}
    _execute("run", c, {**values, "host": host, "inventory": inventory}, flags, parameter or ())


@fabric.task(
    name="configure",
    auto_shortflags=False,
    help={**_CUBE_HELP},  # Invoke takes the texts out of it
)
def _configure(
    c: Any,
    mlcube: str = ".",
    platform: str = "",
    trust_cube: bool = False,
    host: str = "",
    inventory: str = "",
    ask_password: bool = False,
) -> None:
    """Upload a cube, and pull or build its image."""
    flags = {"trust-cube": trust_cube, "ask-password": ask_password}
    values = {"mlcube": mlcube, "platform": platform, "host": host, "inventory": inventory}
    _execute("configure", c, values, flags)


@fabric.task(
    name="logs",
    positional=["run"],
    auto_shortflags=False,
    help={
        **_HELP,
        "run": _RUN,
        "follow": "Continue until the run has ended.",
        "tail": "Start with the last N lines of each task.",
    },
)
def _logs(
    c: Any,
    run: str,
    follow: bool = False,
    tail: str = "",
    host: str = "",
    inventory: str = "",
    ask_password: bool = False,
) -> None:
    """Print the output of a run's tasks."""
    flags = {"follow": follow, "ask-password": ask_password}
    values = {"tail": tail, "host": host, "inventory": inventory}
    _execute("logs", c, values, flags, [run])


@fabric.task(
    name="ps",
    auto_shortflags=False,
    help={**_HELP, "all": "Also jobs that have ended."},
)
def _ps(
    c: Any,
    all: bool = False,  # noqa: A002 - the name of the option
    host: str = "",
    inventory: str = "",
    ask_password: bool = False,
) -> None:
    """List the jobs on hosts."""
    flags = {"all": all, "ask-password": ask_password}
    _execute("ps", c, {"host": host, "inventory": inventory}, flags)


@fabric.task(
    name="pull",
    positional=["run"],
    iterable=["only"],
    auto_shortflags=False,
    help={**_HELP, "run": _RUN, "only": "Only this output; repeatable."},
)
def _pull(
    c: Any,
    run: str,
    only: Iterable[str] | None = None,
    host: str = "",
    inventory: str = "",
    ask_password: bool = False,
) -> None:
    """Pull the outputs of a run."""
    options = [f"--only={name}" for name in only or ()]
    values = {"host": host, "inventory": inventory}
    _execute("pull", c, values, {"ask-password": ask_password}, [run], options)


mlcube = Collection("mlcube", _run, _configure, _logs, _ps, _pull)
"""The tasks, for the ``namespace`` of a fabfile that has tasks of its own."""

namespace = Collection(mlcube)
"""The whole content of a fabfile: Invoke looks for this name there."""


def _execute(
    command: str,
    context: Any,
    values: dict[str, str],
    flags: dict[str, bool],
    arguments: Iterable[str] = (),
    options: Iterable[str] = (),
) -> None:
    """Execute a command of mlcube-remote; end ``fab`` with its exit code if it fails."""
    try:
        host = values["host"] or _host_of(context)
    except UsageError as problem:
        print_error(problem, sys.stderr)
        raise Exit(code=problem.exit_code) from problem
    words = [f"--{name}={value}" for name, value in {**values, "host": host}.items() if value]
    words += [f"--{name}" for name, is_set in flags.items() if is_set]
    code = execute([command, *words, *options, "--", *arguments])
    if code:
        raise Exit(code=code)


def _host_of(context: Any) -> str:
    """Return the host of ``fab -H``; empty if there is none.

    Raises:
        UsageError: ``fab`` has options for a login of its own.
    """
    if not isinstance(context, fabric.Connection):
        return ""
    _refuse_credentials(context)
    host = str(context.original_host)
    known = context.ssh_config
    text = f"[{host}]" if ":" in host and "[" not in host else host
    # What Fabric took from ssh_config or its defaults was not typed: the inventory decides.
    if context.user != known.get("user", context.config.user):
        text = f"{context.user}@{text}"
    if context.port != int(known.get("port", context.config.port)):
        text = f"{text}:{context.port}"
    return text


def _refuse_credentials(connection: Any) -> None:
    """Refuse secrets and keys of ``fab`` that would have no effect.

    Raises:
        UsageError: There are some.
    """
    given = dict(connection.connect_kwargs)
    # Fabric adds those of ssh_config itself.
    configured = connection.ssh_config.get("identityfile", [])
    given["key_filename"] = [key for key in given.get("key_filename", ()) if key not in configured]
    for name, option, instead in _CREDENTIALS:
        if given.get(name):
            raise UsageError(
                f"fab {option}: expected no {name}, the tasks of mlcube-remote log in themselves",
                hint=f"use {instead}",
            )
