# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, with the names that ``mlcube`` has for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mlcube_remote.app.options import (
    DEFAULT_PARALLEL,
    DEFAULT_RECONNECT_TIMEOUT_S,
    DEFAULT_RETRIES,
    DEFAULT_RETRY_ON,
    DEFAULT_STOP_GRACE_S,
    ContainerOptions,
    CubeOptions,
    HostOptions,
    StartOptions,
    SweepOptions,
    TaskOptions,
)
from mlcube_remote.app.parse import parse_axes, parse_parameters, split_names
from mlcube_remote.cli.completers import (
    complete_hosts,
    complete_inputs,
    complete_labels,
    complete_parameters,
    complete_platforms,
    complete_sweep,
    complete_tasks,
)
from mlcube_remote.cli.option_groups import CredentialPrompts, F, combine, group
from mlcube_remote.cli.parameter_types import Duration, WholeNumber, single_value
from mlcube_remote.commands.model import Options


def hosts_argument(*, required: bool = False) -> Callable[[F], F]:
    """Return the argument for hosts without an option name."""
    return click.argument(
        "named",
        nargs=-1,
        required=required,
        metavar="HOSTS..." if required else "[HOSTS]...",
        shell_complete=complete_hosts,
    )


# Paths have a type so that shells complete them. They are checked when they are read.
inventory_option = click.option(
    "--inventory",
    "-i",
    type=click.Path(),
    metavar="FILE",
    help="Inventory of hosts  [default: $MLCUBE_REMOTE_INVENTORY, ./hosts.yaml outside a cube, "
    "~/.config/mlcube-remote/hosts.yaml, then beside the cube]",
)
_host_option = click.option(
    "--host",
    "-H",
    "names",
    multiple=True,
    metavar="HOSTS",
    shell_complete=complete_hosts,
    help="Names, groups, globs, ranges such as gpu[01-04], !exclusions; separated by commas.",
)
_where_option = click.option(
    "--where",
    multiple=True,
    metavar="LABEL=VALUE",
    shell_complete=complete_labels,
    help="Only hosts with this label, such as gpu=a100; repeatable.",
)
host_options = group("hosts", HostOptions, _host_option, inventory_option)
host_label_options = group("hosts", HostOptions, _host_option, inventory_option, _where_option)

credential_options = group(
    "credentials",
    CredentialPrompts,
    click.option("--ask-password", is_flag=True, help="Ask once for the login password."),
    click.option("--ask-passphrase", is_flag=True, help="Ask once for the keys' passphrase."),
)

cube_options = group(
    "cube",
    CubeOptions,
    click.option(
        "--mlcube",
        "path",
        type=click.Path(),
        default=CubeOptions().path,
        metavar="PATH",
        help="Directory of the cube, or its YAML file.",
        show_default=True,
    ),
    click.option(
        "-P",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a setting of mlcube.yaml, such as docker.image=NAME.",
    ),
    click.option(
        "--workspace", type=click.Path(), metavar="DIR", help="Use another workspace directory."
    ),
)


def platform_option(help_text: str) -> Callable[[F], F]:
    """Return the option that names a platform."""
    return click.option(
        "--platform", metavar="NAME", shell_complete=complete_platforms, help=help_text
    )


def _container(**given: Any) -> ContainerOptions:
    others = {name: given.pop(name) for name in ("platform", "trust_cube", "ship_image")}
    return ContainerOptions(engine=Options(**given), **others)


container_options = group(
    "container",
    _container,
    platform_option("docker, podman, singularity, apptainer, or a platform of ~/mlcube.yaml."),
    click.option("--network", metavar="NAME", help="Network of the container."),
    click.option("--security", metavar="OPT", help="Security option of the container."),
    click.option("--gpus", metavar="N", help="GPUs for the task: 2, all, device=0,1."),
    click.option("--memory", metavar="SIZE", help="Memory limit, such as 4g."),
    click.option("--cpu", metavar="CPUS", help="CPUs that the container may use, such as 0-3."),
    click.option(
        "--mount",
        type=click.Choice(["ro", "rw"]),
        help="Mount inputs read-only (ro) or writable (rw).",
    ),
    click.option(
        "--ship-image",
        metavar="HOST",
        shell_complete=complete_hosts,
        help="Build or pull the image once, on this host (local: here), and send it to all others.",
    ),
    click.option(
        "--trust-cube",
        is_flag=True,
        help="Allow everything that the cube asks for (see mlcube-remote trust).",
    ),
)


def _tasks(*, parameters: tuple[str, ...], **others: Any) -> TaskOptions:
    names = split_names(others.pop("tasks"))
    missing = split_names(others.pop("allow_missing"), "--allow-missing")
    parsed = parse_parameters(parameters)
    return TaskOptions(names=names, parameters=parsed, allow_missing=missing, **others)


task_options = group(
    "tasks",
    _tasks,
    click.option(
        "--task",
        "tasks",
        multiple=True,
        metavar="TASKS",
        shell_complete=complete_tasks,
        help="Tasks to run, in this order; separated by commas.",
    ),
    click.option(
        "--env",
        multiple=True,
        metavar="NAME",
        help="Pass a variable of this shell to the container; its value is never shown.",
    ),
    click.option(
        "--timeout",
        type=Duration(),
        metavar="TIME",
        help="Time limit per task, such as 90s or 8h; enforced on the host.",
    ),
    click.option(
        "--grace",
        type=Duration(),
        default=f"{DEFAULT_STOP_GRACE_S:.0f}s",
        show_default=True,
        metavar="TIME",
        help="Time between SIGTERM and SIGKILL at the time limit, and when a task is stopped.",
    ),
    click.option(
        "--allow-missing",
        multiple=True,
        metavar="NAMES",
        shell_complete=complete_inputs,
        help="Inputs that may be missing; the task gets a path without a file.",
    ),
    click.option(
        "--fresh-outputs",
        is_flag=True,
        help="Fail if a task succeeds and leaves one of its outputs as it was before the run.",
    ),
    click.option(
        "--slurm",
        multiple=True,
        metavar="KEY=VALUE",
        help="Ask Slurm for this, such as partition=gpu; for the keys, see slurm: in hosts.yaml.",
    ),
    click.option(
        "--copy-links",
        is_flag=True,
        help="Also send the data that links in inputs lead to, if it is outside the cube.",
    ),
    click.argument(
        "parameters", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=complete_parameters
    ),
)


def _retry_options(retries: int | None) -> tuple[Callable[[Any], Any], ...]:
    """Return the options for retries; ``None``: they default to those of the recorded run."""
    default, default_on = "as recorded", "as recorded"
    if retries is not None:
        default, default_on = str(retries), ", ".join(sorted(DEFAULT_RETRY_ON))
    return (
        click.option(
            "--retries",
            type=WholeNumber(min=0),
            default=retries,
            metavar="N",
            help=f"Maximum retries per sweep job.  [default: {default}]",
        ),
        click.option(
            "--retry-on",
            multiple=True,
            type=click.Choice(["host", "task"]),
            help="Retry after a host failure (host) or a failed task (task); repeatable.  "
            f"[default: {default_on}]",
        ),
    )


def _sweep(*, axes: tuple[str, ...], retry_on: tuple[str, ...], **others: Any) -> SweepOptions:
    kinds = frozenset(retry_on) or DEFAULT_RETRY_ON
    return SweepOptions(axes=parse_axes(axes), retry_on=kinds, **others)


sweep_options = group(
    "sweep",
    _sweep,
    click.option(
        "--sweep",
        "axes",
        multiple=True,
        metavar="NAME=A,B",
        shell_complete=complete_sweep,
        help="Run one job per value, on any free host; repeated: one job per combination. Ranges: "
        "lr=log:1e-4..1e-1:5, lin:0..1:5, int:1..8.",
    ),
    click.option(
        "--sweep-file",
        "file",
        type=click.Path(),
        multiple=True,
        callback=single_value("put everything into one file, or some of it into --sweep"),
        metavar="FILE",
        help="Read the values from a YAML file.",
    ),
    click.option(
        "--shard",
        multiple=True,
        callback=single_value("only one list can be split; its items may name further files"),
        metavar="NAME=LIST",
        shell_complete=complete_parameters,
        help="Split a list (a file, or items with commas) into one piece per host.",
    ),
    click.option(
        "--sample",
        type=WholeNumber(min=1),
        metavar="N",
        help="Run N random points of the sweep; with a range such as lr=log:1e-4..1e-1, any value "
        "in it.",
    ),
    click.option(
        "--seed",
        type=WholeNumber(min=0),
        metavar="NUMBER",
        help="Choose the same points as another run with --sample.  [default: a new number]",
    ),
    *_retry_options(DEFAULT_RETRIES),
)

rerun_retry_options = combine(*_retry_options(None))

reconnect_option = click.option(
    "--reconnect-timeout",
    type=Duration(),
    default=f"{DEFAULT_RECONNECT_TIMEOUT_S // 60:.0f}m",
    show_default=True,
    metavar="TIME",
    help="How long to try to reach a host again.",
)

parallel_option = click.option(
    "--parallel",
    type=WholeNumber(min=1),
    default=DEFAULT_PARALLEL,
    show_default=True,
    metavar="N",
    help="Maximum number of hosts in use at the same time.",
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Print every command that would run, and do nothing."
)


def _start(*, fail_fast: bool, max_failures: int | None, **others: Any) -> StartOptions:
    return StartOptions(max_failures=1 if fail_fast else max_failures, **others)


start_options = combine(
    group(
        "start",
        _start,
        click.option(
            "--detach",
            "-d",
            is_flag=True,
            help="Return as soon as every job has started, and print the run's id.",
        ),
        click.option(
            "--wait", is_flag=True, help="Wait for a workspace or GPUs that other runs hold."
        ),
        click.option("--fail-fast", is_flag=True, help="Cancel all other jobs if one fails."),
        click.option(
            "--max-failures",
            type=WholeNumber(min=1),
            metavar="N",
            help="Cancel all other jobs if N jobs fail.",
        ),
        parallel_option,
    ),
    dry_run_option,
)
