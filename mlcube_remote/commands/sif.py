# SPDX-License-Identifier: Apache-2.0
"""Singularity and Apptainer: where the SIF file comes from, and how a task runs in it.

A cube without a ``singularity:`` section still runs: from ``Singularity.recipe`` where the cube
has one, else from the image that its ``docker:`` section names.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Mapping, Sequence

from mlcube_remote.commands.model import (
    Argv,
    ImageCommands,
    KindOf,
    Layout,
    Options,
    PathKind,
)
from mlcube_remote.commands.mounts import Mount, csv_line
from mlcube_remote.commands.settings import Settings
from mlcube_remote.cube.host_paths import fill_in, host_path
from mlcube_remote.cube.model import NOTHING, Cube, Task

PROGRAMS: Mapping[str, tuple[str, str]] = {
    "singularity": ("singularity", "apptainer"),
    "apptainer": ("apptainer", "singularity"),
}
"""Platform → programs that serve it, the best first, where no other one is configured."""

_SECURITY = ("uid:", "gid:", "selinux:", "apparmor:", "seccomp:", "no-new-privileges")
"""What ``--security`` may begin with; the last is so in any case."""

_RECIPE = "Singularity.recipe"
_is_uri = re.compile(r"[a-z][a-z-]*:").match
_OF_A_CONTAINER = ("env_args", "gpu_args", "cpu_args")
"""Settings of ``docker:``, beside its options, that say how a task runs."""
_FLAGS = ("--network", "--security")
_OF_A_MACHINE = ("--vm-ram", "--vm-cpu")
"""Apptainer has no virtual machines, and refuses these options."""
_LIMITS = (*_OF_A_MACHINE, "--memory", "--cpuset-cpus")


def image_commands(settings: Settings, layout: Layout, kind_of: KindOf) -> ImageCommands:
    """Return what builds the SIF file; nothing where its recipe is missing.

    Raises:
        PlanError: A setting does not split into words.
    """
    engine = settings.words(settings.platform)
    image_dir = host_path(settings.text("image_dir"), layout, base=layout.root)
    image = host_path(settings.text("image"), layout, base=image_dir)
    source = fill_in(settings.text("build_file"), layout)
    recipe = host_path(source, layout, base=layout.root)
    if source.startswith("~"):
        source = recipe
    configure = (*engine, "build", *settings.words("build_args"), image, source)
    can_build = _is_uri(source) or kind_of(recipe) is PathKind.FILE
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
    """Return what stands before and after the image in the container's command.

    Raises:
        PlanError: A setting does not split into words.
    """
    entrypoint = shlex.split(task.entrypoint or "")
    switched_on = settings.values.get("--nv") not in (None, False)
    uses_devices = switched_on if gpus is None else gpus != "0"
    limits: Argv = _LIMITS
    if dialect(settings.platform, settings.words(settings.platform)) == "apptainer":
        limits = tuple(option for option in limits if option not in _OF_A_MACHINE)
    before = (
        "exec" if entrypoint else "run",
        *settings.words("run_args"),
        *settings.options(_FLAGS),
        *(("--nv",) if uses_devices else ()),
        *settings.options(limits),
        *(word for mount in mounts for word in _bind(mount)),
    )
    return before, tuple(entrypoint) or (task.name,)


def _warnings(settings: Settings) -> tuple[str, ...]:
    return tuple(
        f"{settings.platform} honours {option} only in a virtual machine (--vm); "
        "the task runs without this limit"
        for option in _OF_A_MACHINE
        if settings.values.get(option) is not None and "--vm" not in settings.words("run_args")
    )


def unhonoured(platform: str, options: Options, container: Argv) -> tuple[str, str] | None:
    """Say which option of the command line a platform accepts without honouring it.

    Args:
        platform: The task's.
        options: The command line's.
        container: The container's command.

    Returns:
        The option and why, or ``None``.
    """
    if platform not in PROGRAMS:
        return None
    if platform == "singularity" and "--vm" not in container:
        for name, value in (("--memory", options.memory), ("--cpu", options.cpu)):
            if value:
                return f"{name}={value}", "it limits nothing but a virtual machine (--vm)"
    if options.security and not options.security.startswith(_SECURITY):
        known = ", ".join(_SECURITY)
        return f"--security={options.security}", f"it knows {known} and ignores all else"
    return None


def derived(cube: Cube, layout: Layout, kind_of: KindOf) -> Mapping[str, str]:
    """Return the settings that stand in where no section names a SIF image."""
    if kind_of(posixpath.join(layout.root, _RECIPE)) is PathKind.FILE:
        return {"image": _sif_name(_RECIPE), "build_file": _RECIPE}
    docker = cube.settings.get("docker", NOTHING)
    if not docker.get("image"):
        return {}
    source = f"docker://{docker['image']}"
    if docker.get("tar_file"):
        source = f"docker-archive:{docker['tar_file']}"
    values = {"image": _sif_name(docker["image"]), "build_file": source}
    if docker.get("run_args"):
        values["run_args"] = docker["run_args"]
    return values


def left_away(cube: Cube, platform: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """Say which settings of the ``docker:`` section do not count where its image is run.

    Args:
        cube: The cube.
        platform: What it runs on.
        values: As :func:`derived`.
    """
    docker = cube.settings.get("docker", NOTHING)
    if not values or values["build_file"] == _RECIPE:
        return ()  # the image is not that of the section
    said = [key for key in docker if key.startswith("-") or key in _OF_A_CONTAINER]
    if not said:
        return ()
    keys = ", ".join(f"docker.{key}" for key in said)
    return (f"{keys}: no part of what {platform} runs; docker.run_args would be",)


def installed(platform: str, programs: Collection[str]) -> str:
    """Return the program that serves a platform on a host that has these ``programs``."""
    return next((name for name in PROGRAMS[platform] if name in programs), platform)


def dialect(platform: str, engine: Argv) -> str:
    """Return whose options and variables the engine understands: its name says it, if it can."""
    program = posixpath.basename(engine[-1])
    return program if program in PROGRAMS else platform


def environment_name(platform: str, engine: Argv, name: str) -> str:
    """Return the variable to set outside so that the container sees ``name`` inside."""
    return f"{dialect(platform, engine).upper()}ENV_{name}"


def _sif_name(source: str) -> str:
    return "".join(character for character in source if character.isalnum()) + ".sif"


def _bind(mount: Mount) -> Argv:
    if ":" not in mount.source and "," not in mount.source:
        options = f":{mount.opts}" if mount.opts else ""
        return ("--bind", f"{mount.source}:{mount.target}{options}")
    # --bind splits at both, and gets lost among backslashes where a path has one and the other.
    fields = ["type=bind", f"source={mount.source}", f"destination={mount.target}"]
    return ("--mount", csv_line([*fields, "ro"] if mount.opts == "ro" else fields))


def environment(platform: str, engine: Argv, gpus: str | None) -> Mapping[str, str]:
    """Return the variables that the engine is started with.

    They limit a task to some devices, where ``--nv`` alone hands over all; and they keep values as
    they are, which the engine would have a shell in the container expand: those of its variables,
    and the arguments of an image that came from Docker.
    """
    values = {f"{dialect(platform, engine).upper()}_NO_EVAL": "1"}
    if gpus not in (None, "all"):
        names = gpus.removeprefix("device=")
        if gpus.isdecimal():
            names = ",".join(str(number) for number in range(int(gpus)))
        values[environment_name(platform, engine, "CUDA_VISIBLE_DEVICES")] = names
    return values
