# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, under the names that ``mlcube`` has for them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from mlcube_remote.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def _together(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


RECONNECT_TIMEOUT = 600.0
"""Seconds after which a host that cannot be reached again is given up."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Duration(click.ParamType[float]):
    """A time span such as ``90``, ``90s``, ``15m``, ``8h`` or ``7d``, in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds, or tell what was expected."""
        if isinstance(value, (int, float)):
            return float(value)
        match = _DURATION.fullmatch(str(value).strip().lower())
        if match is None or float(match[1]) == 0:
            self.fail(f"{value!r}: expected a time span such as 90s, 15m, 8h or 7d", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


def _once(instead: str) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], str | None]:
    """Return what takes an option's one value; with two, the first would be forgotten silently.

    Args:
        instead: What whoever gave two may have wanted.
    """

    def take(_: click.Context, param: click.Parameter, values: tuple[str, ...]) -> str | None:
        if len(values) > 1:
            raise UsageError(f"{param.opts[0]}: is given {len(values)} times", hint=instead)
        return values[0] if values else None

    return take


def _complete_hosts(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from mlcube_remote.cli.session import open_inventory  # noqa: PLC0415 - only on completion
    from mlcube_remote.errors import MLCubeRemoteError  # noqa: PLC0415

    try:
        inventory = open_inventory(ctx.params.get("inventory"), ctx.params.get("mlcube") or ".")
    except MLCubeRemoteError:
        return []
    head, comma, last = incomplete.rpartition(",")
    without = "!" if last.startswith("!") else ""
    names = (*inventory.hosts, *inventory.groups, "all")
    return [
        f"{head}{comma}{without}{name}" for name in names if f"{without}{name}".startswith(last)
    ]


def _complete_labels(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from mlcube_remote.cli.session import open_inventory  # noqa: PLC0415 - only on completion
    from mlcube_remote.errors import MLCubeRemoteError  # noqa: PLC0415

    try:
        inventory = open_inventory(ctx.params.get("inventory"), ctx.params.get("mlcube") or ".")
    except MLCubeRemoteError:
        return []
    every = {f"{k}={v}" for host in inventory.hosts.values() for k, v in host.labels.items()}
    return sorted(label for label in every if label.startswith(incomplete))


def _complete_tasks(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from mlcube_remote.cube.load import load  # noqa: PLC0415 - only on completion
    from mlcube_remote.errors import MLCubeRemoteError  # noqa: PLC0415

    try:
        tasks = load(ctx.params.get("mlcube") or ".").tasks
    except MLCubeRemoteError:
        return []
    head, comma, last = incomplete.rpartition(",")
    return [f"{head}{comma}{name}" for name in tasks if name.startswith(last)]


def _complete_platforms(_: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from mlcube_remote.cube import system_settings  # noqa: PLC0415 - only on completion
    from mlcube_remote.errors import MLCubeRemoteError  # noqa: PLC0415
    from mlcube_remote.platforms import PLATFORMS  # noqa: PLC0415

    try:
        names = dict.fromkeys((*PLATFORMS, *system_settings.load().names))
    except MLCubeRemoteError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def _complete_runs(_: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from mlcube_remote.runs.store import Store  # noqa: PLC0415 - only on completion

    return [run_id for run_id in Store().runs() if run_id.startswith(incomplete)]


run_argument = click.argument("run_text", metavar="RUN", shell_complete=_complete_runs)


def hosts_argument(*, required: bool = False) -> Callable[[F], F]:
    """Hosts without an option in front."""
    return click.argument(
        "names",
        nargs=-1,
        required=required,
        metavar="HOSTS..." if required else "[HOSTS]...",
        shell_complete=_complete_hosts,
    )


# What is a path has a type for its completion; what is wrong with it is told where it is read.
inventory_option = click.option(
    "--inventory",
    type=click.Path(),
    metavar="FILE",
    help="Inventory of hosts  [default: $MLCUBE_REMOTE_INVENTORY, ./hosts.yaml, beside the cube, "
    "then ~/.config/mlcube-remote/hosts.yaml]",
)

host_options = _together(
    click.option(
        "--host",
        "-H",
        "hosts",
        multiple=True,
        metavar="HOSTS",
        shell_complete=_complete_hosts,
        help="Names, groups, globs, ranges such as gpu[01-04], !exclusions; commas between.",
    ),
    inventory_option,
)

where_option = click.option(
    "--where",
    multiple=True,
    metavar="LABEL=VALUE",
    shell_complete=_complete_labels,
    help="Of these hosts only those with that label, such as gpu=a100; repeatable.",
)

login_options = _together(
    click.option("--ask-password", is_flag=True, help="Ask once for the login password."),
    click.option("--ask-passphrase", is_flag=True, help="Ask once for the keys' passphrase."),
)

cube_options = _together(
    click.option(
        "--mlcube",
        type=click.Path(),
        default=".",
        metavar="PATH",
        help="Directory of the cube, or its YAML file.",
        show_default=True,
    ),
    click.option("-P", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting."),
    click.option(
        "--workspace",
        type=click.Path(),
        metavar="DIR",
        help="Another workspace than the cube's own.",
    ),
)


def platform_option(about: str) -> Callable[[F], F]:
    """Return the option that names a platform."""
    return click.option(
        "--platform", metavar="NAME", shell_complete=_complete_platforms, help=about
    )


platform_options = _together(
    platform_option("docker, podman, singularity, apptainer, or one of ~/mlcube.yaml."),
    click.option("--network", metavar="NAME", help="Network of the container."),
    click.option("--security", metavar="OPT", help="Security option of the container."),
    click.option("--gpus", metavar="N", help="GPUs to hand over: 2, all, device=0,1."),
    click.option("--memory", metavar="SIZE", help="Memory limit, such as 4g."),
    click.option("--cpu", metavar="CPUS", help="CPUs that the container may use, such as 0-3."),
    click.option("--mount", type=click.Choice(["ro", "rw"]), help="How inputs are mounted."),
    click.option(
        "--trust-cube",
        is_flag=True,
        help="Let mlcube.yaml itself ask the engine for privileges.",
    ),
)

talk_options = _together(
    click.option("--quiet", "-q", is_flag=True, help="Only the tasks' output, and errors."),
    click.option("--verbose", "-v", is_flag=True, help="Each command that runs on a host, too."),
)

output_options = _together(
    talk_options,
    click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        help="json: one document on stdout, everything else on stderr.",
    ),
)

task_option = click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="TASKS",
    shell_complete=_complete_tasks,
    help="Tasks to run, in order; commas between.",
)

sweep_options = _together(
    click.option(
        "--sweep",
        "sweeps",
        multiple=True,
        metavar="NAME=A,B",
        help="Run a job for each value; repeated: for each combination, on whichever host is free.",
    ),
    click.option(
        "--sweep-file",
        type=click.Path(),
        multiple=True,
        callback=_once("put all into one file, or some into --sweep"),
        metavar="FILE",
        help="The same from a YAML file.",
    ),
    click.option(
        "--shard",
        multiple=True,
        callback=_once("one list is split; its items may name further files"),
        metavar="NAME=LIST",
        help="Split a list (a file, or with commas) into a piece for each host.",
    ),
)


def retry_options(retries: int | None) -> Callable[[F], F]:
    """Return the options that say when a job of a sweep is begun again.

    Args:
        retries: How often, where nobody says; ``None``: as the run was begun.
    """
    many, when = (str(retries), "host") if retries is not None else ("as the run was begun",) * 2
    return _together(
        click.option(
            "--retries",
            type=click.IntRange(min=0),
            default=retries,
            metavar="N",
            help=f"How often a job of a sweep is begun again at the most.  [default: {many}]",
        ),
        click.option(
            "--retry-on",
            multiple=True,
            type=click.Choice(["host", "task"]),
            help="Begin again when the host was lost or unfit, or when the task failed; repeatable"
            f"  [default: {when}]",
        ),
    )


follow_options = _together(
    click.option(
        "--reconnect-timeout",
        type=Duration(),
        default=f"{RECONNECT_TIMEOUT // 60:.0f}m",
        show_default=True,
        metavar="TIME",
        help="How long to try to reach a host again before following it is given up.",
    ),
    click.option(
        "--on-interrupt",
        type=click.Choice(["ask", "stop", "detach"]),
        default="ask",
        show_default=True,
        help="What Ctrl-C does to jobs that run; not on a terminal, ask means stop.",
    ),
)


class ReportFile(click.Path):
    """A file that is written for programs; whether that will be possible is looked at first."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or tell why nothing can be written there."""
        path = str(super().convert(value, param, ctx))
        folder = os.path.dirname(path) or "."
        if not os.path.exists(path) and not os.access(folder, os.W_OK | os.X_OK):
            missing = "not writable" if os.path.isdir(folder) else "no such directory"
            self.fail(f"{path!r}: {folder}: {missing}", param, ctx)
        return path


report_options = _together(
    click.option(
        "--events",
        type=ReportFile(),
        metavar="FILE",
        help="Write what happens there, a JSON document a line.",
    ),
    click.option(
        "--junit",
        type=ReportFile(),
        metavar="FILE",
        help="Write how each task ended there, as CI systems read it (JUnit XML).",
    ),
)

start_options = _together(
    click.option(
        "--detach", "-d", is_flag=True, help="Return once every job is started; print the run's id."
    ),
    click.option(
        "--wait", is_flag=True, help="Wait for a workspace, or GPUs, that other runs have."
    ),
    click.option("--fail-fast", is_flag=True, help="Cancel all other jobs once one has failed."),
    click.option(
        "--max-failures",
        type=click.IntRange(min=1),
        metavar="N",
        help="Cancel all other jobs once so many have failed.",
    ),
    click.option(
        "--parallel",
        type=click.IntRange(min=1),
        default=32,
        show_default=True,
        metavar="N",
        help="Hosts that are worked on at once.",
    ),
    click.option(
        "--dry-run", is_flag=True, help="Print every command that would run; touch nothing."
    ),
)

gather_option = click.option(
    "--gather", is_flag=True, help="Show what many hosts print alike once, when all have ended."
)
