# SPDX-License-Identifier: Apache-2.0
"""Singularity and Apptainer: build the SIF file, run a task in it."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Collection, Mapping, Sequence

from mlcube_remote.commands.model import Argv, ImageCommands, Options
from mlcube_remote.commands.mounts import Mount, bind_sif
from mlcube_remote.commands.settings import Settings
from mlcube_remote.commands.sif_source import image_path, recipe_path
from mlcube_remote.cube.host_paths import KindOf, Layout, PathKind, expand_runtime
from mlcube_remote.cube.model import Task

PROGRAMS: Mapping[str, tuple[str, str]] = {
    "singularity": ("singularity", "apptainer"),
    "apptainer": ("apptainer", "singularity"),
}
"""Platform → programs that can run it, the preferred one first."""

_SECURITY = ("uid:", "gid:", "selinux:", "apparmor:", "seccomp:", "no-new-privileges")
"""Prefixes of supported ``--security`` values; the last one always applies."""

_FLAGS = ("--network", "--security")
_VM_LIMITS = ("--vm-ram", "--vm-cpu")
"""Limits of a virtual machine; Apptainer has none and refuses these options."""
_LIMITS = (*_VM_LIMITS, "--memory", "--cpuset-cpus")


def image_commands(settings: Settings, layout: Layout, kind_of: KindOf) -> ImageCommands:
    """Return the commands that build the SIF file; none if its recipe is missing.

    Raises:
        PlanError: A setting cannot be split into words.
    """
    engine = settings.words(settings.platform)
    image = image_path(settings, layout)
    recipe = recipe_path(settings, layout)
    source = expand_runtime(settings.text("build_file"), layout)
    if recipe is not None and source.startswith("~"):
        source = recipe
    configure = (*engine, "build", *settings.words("build_args"), image, source)
    can_build = recipe is None or kind_of(recipe) is PathKind.FILE
    return ImageCommands(
        platform=settings.platform,
        image=image,
        engine=engine,
        probe=("test", "-f", image),
        cwd=layout.root,
        configure=(configure,) if can_build else (),
        configure_directories=(posixpath.dirname(image),),
        source=source,
        warnings=_warnings(settings),
    )


def container(
    settings: Settings, task: Task, mounts: Sequence[Mount], gpus: str | None
) -> tuple[Argv, Argv]:
    """Return the words before and after the image in the container's command.

    Raises:
        PlanError: A setting cannot be split into words.
    """
    entrypoint = shlex.split(task.entrypoint or "")
    is_nv_set = settings.values.get("--nv") not in (None, False)
    uses_devices = is_nv_set if gpus is None else gpus != "0"
    limits: Argv = _LIMITS
    if dialect(settings.platform, settings.words(settings.platform)) == "apptainer":
        limits = tuple(option for option in limits if option not in _VM_LIMITS)
    before = (
        "exec" if entrypoint else "run",
        *settings.words("run_args"),
        *settings.options(_FLAGS),
        *(("--nv",) if uses_devices else ()),
        *settings.options(limits),
        *(word for mount in mounts for word in bind_sif(mount)),
    )
    return before, tuple(entrypoint) or (task.name,)


def _warnings(settings: Settings) -> tuple[str, ...]:
    return tuple(
        f"{settings.platform} applies {option} only in a virtual machine (--vm); "
        "the task runs without this limit"
        for option in _VM_LIMITS
        if settings.values.get(option) is not None and "--vm" not in settings.words("run_args")
    )


def unsupported_option(platform: str, options: Options, container: Argv) -> tuple[str, str] | None:
    """Return an option that a platform accepts and then ignores.

    Args:
        platform: The task's platform.
        options: The options of the command line.
        container: The container's command.

    Returns:
        The option and the reason; ``None`` if there is no such option.
    """
    if platform not in PROGRAMS:
        return None
    if platform == "singularity" and "--vm" not in container:
        for name, value in (("--memory", options.memory), ("--cpu", options.cpu)):
            if value:
                return f"{name}={value}", "it limits only virtual machines (--vm)"
    if options.security and not options.security.startswith(_SECURITY):
        known = ", ".join(_SECURITY)
        return f"--security={options.security}", f"it knows {known} and ignores other values"
    return None


def find_program(platform: str, programs: Collection[str]) -> str:
    """Return the program of a host's ``programs`` that can run a platform."""
    return next((name for name in PROGRAMS[platform] if name in programs), platform)


def dialect(platform: str, engine: Argv) -> str:
    """Return the program whose options and variables the engine has, by the engine's name."""
    program = posixpath.basename(engine[-1])
    return program if program in PROGRAMS else platform


def environment_name(platform: str, engine: Argv, name: str) -> str:
    """Return the variable of the engine's process that the container sees as ``name``."""
    return f"{dialect(platform, engine).upper()}ENV_{name}"


def environment(platform: str, engine: Argv, gpus: str | None) -> Mapping[str, str]:
    """Return the variables of the engine's process.

    They limit the devices of a task; ``--nv`` alone would pass all of them. They also keep a shell
    in the container from expanding values: those of variables, and the arguments of an image from
    Docker.
    """
    values = {f"{dialect(platform, engine).upper()}_NO_EVAL": "1"}
    if gpus not in (None, "all"):
        names = gpus.removeprefix("device=")
        if gpus.isdecimal():
            names = ",".join(str(number) for number in range(int(gpus)))
        values[environment_name(platform, engine, "CUDA_VISIBLE_DEVICES")] = names
    return values
