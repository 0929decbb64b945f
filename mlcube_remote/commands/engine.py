# SPDX-License-Identifier: Apache-2.0
"""Docker and Podman: pull or build the image, run a task in it."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Sequence

from mlcube_remote.commands.model import Argv, ImageCommands, SentContext, Writable
from mlcube_remote.commands.mounts import Mount, csv_line
from mlcube_remote.commands.settings import Settings
from mlcube_remote.cube.host_paths import KindOf, Layout, PathKind, contains, expand_runtime
from mlcube_remote.cube.model import Task
from mlcube_remote.errors import PlanError

_LIMITS = ("--network", "--security-opt", "--userns", "--memory", "--cpuset-cpus")


def image_commands(
    settings: Settings, layout: Layout, kind_of: KindOf, sent: SentContext | None = None
) -> ImageCommands:
    """Return the commands that pull or build the image.

    Args:
        settings: The settings of the platform.
        layout: Where things are on the host.
        kind_of: Returns what exists there.
        sent: The build context, if it is outside the cube and is sent.

    Raises:
        PlanError: A setting cannot be split into words.
    """
    engine = settings.words(settings.platform)
    image = settings.text("image")
    strategy = settings.text("build_strategy")
    context = _inside(layout.root, settings.text("build_context"), layout)
    if sent is not None:
        context = sent.path
    recipe = _inside(context, settings.text("build_file"), layout)
    if sent is not None and contains(context, recipe):
        kind_of = sent.kind_of
    can_build = strategy != "pull" and kind_of(recipe) is PathKind.FILE
    configure = (*engine, "pull", image)
    if can_build:
        build_args = settings.pairs("build_args", "--build-arg")
        configure = (*engine, "build", *build_args, "-t", image, "-f", recipe, context)
    return ImageCommands(
        platform=settings.platform,
        image=image,
        engine=engine,
        probe=(*engine, "image", "inspect", "--format", "{{.Id}}", image),
        cwd=layout.root,
        configure=(configure,),
        source="" if strategy == "pull" else recipe,
        context=context if can_build else "",
        before_each_run=strategy == "always",
    )


def container(settings: Settings, task: Task, mounts: Sequence[Mount]) -> tuple[Argv, Argv]:
    """Return the words before and after the image in the container's command.

    Raises:
        PlanError: A setting cannot be split into words, or a path cannot be mounted.
    """
    entrypoint = shlex.split(task.entrypoint or "")
    before = (
        "run",
        *settings.words("gpu_args" if _devices(settings) else "cpu_args"),
        *settings.options(_LIMITS),
        *_gpu_options(settings),
        *((f"--entrypoint={entrypoint[0]}",) if entrypoint else ()),
        *settings.pairs("env_args", "-e"),
        *(word for mount in mounts for word in _volume(settings, mount)),
    )
    return before, tuple(entrypoint[1:]) if entrypoint else (task.name,)


def writable(settings: Settings, mounts: Sequence[Mount]) -> tuple[Writable, ...]:
    """Return the directories that are mounted writable."""
    return tuple(
        Writable(source=mount.source, target=mount.target, words=_volume(settings, mount))
        for mount in mounts
        if mount.opts != "ro"
    )


def _inside(directory: str, path: str, layout: Layout) -> str:
    return posixpath.normpath(posixpath.join(directory, expand_runtime(path, layout)))


def _devices(settings: Settings) -> str:
    """Return ``--gpus``, or ``platform.accelerator_count``; empty for no device."""
    gpus = settings.values.get("--gpus")
    requested = settings.cube.accelerator_count if gpus is None else gpus
    text = "" if requested is None else str(requested).strip()
    return "" if text == "0" else text


def _gpu_options(settings: Settings) -> Argv:
    devices = _devices(settings)
    if not devices:
        return ()
    if settings.platform == "docker":
        return (f"--gpus={devices}",)
    # Podman names devices through CDI; older versions accept --gpus and ignore it.
    if devices.isdecimal():
        names = [str(number) for number in range(int(devices))]
    else:
        names = devices.removeprefix("device=").split(",")
    return tuple(f"--device=nvidia.com/gpu={name}" for name in names)


def _volume(settings: Settings, mount: Mount) -> Argv:
    label = str(settings.values.get("selinux") or "") if settings.platform == "podman" else ""
    if ":" not in mount.source:
        options = ",".join(option for option in (mount.opts, label) if option)
        spec = f"{mount.source}:{mount.target}"
        return ("--volume", f"{spec}:{options}" if options else spec)
    # --volume cannot express a colon in a path; --mount can, as a line of CSV.
    fields = ["type=bind", f"source={mount.source}", f"target={mount.target}"]
    if mount.opts == "ro":
        fields.append("readonly")
    if label:
        fields.append(f"relabel={'shared' if label == 'z' else 'private'}")
    line = csv_line(fields)
    if settings.platform == "podman" and '"' in line:
        raise PlanError(f"podman cannot mount a path with both ':' and ',' or '\"': {mount.source}")
    return ("--mount", line)
