# SPDX-License-Identifier: Apache-2.0
"""Docker and Podman: pull or build the image, run a task in it."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Sequence

import attrs

from mlcube_remote.commands.model import Argv, ImageCommands, SentContext, Writable
from mlcube_remote.commands.mounts import Mount, csv_line
from mlcube_remote.commands.settings import Settings
from mlcube_remote.cube.host_paths import KindOf, Layout, PathKind, contains, expand_runtime
from mlcube_remote.cube.model import Task
from mlcube_remote.errors import PlanError

_CDI = "nvidia.com/gpu="
"""Start of the name of a GPU in the Container Device Interface."""

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
        warnings=_warnings(settings),
    )


def container(settings: Settings, task: Task, mounts: Sequence[Mount]) -> tuple[Argv, Argv]:
    """Return the words before and after the image in the container's command.

    Raises:
        PlanError: A setting cannot be split into words, or a path cannot be mounted.
    """
    entrypoint = shlex.split(task.entrypoint or "")
    arguments = _arguments(settings)
    before = (
        "run",
        *arguments.others,
        *settings.options(_LIMITS),
        *_gpu_options(settings, arguments),
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


@attrs.frozen
class _Arguments:
    """``gpu_args`` or ``cpu_args``."""

    key: str
    others: Argv
    gpus: Argv = ()
    """The options for GPUs among them, if the engine must not get them as they are."""


def _arguments(settings: Settings) -> _Arguments:
    """Return the arguments that apply, without GPUs that the job may not use.

    Engines add up several options for GPUs: an option for all would defeat a lease.
    """
    key = "gpu_args" if _devices(settings) else "cpu_args"
    words = settings.words(key)
    if not settings.is_podman and not settings.has_leased_gpus:
        return _Arguments(key, words)
    gpus: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        pair = (word,) if equals or option not in {"--gpus", "--device"} else (word, next(rest, ""))
        value = value if equals else pair[-1]
        is_gpu = option == "--gpus" or (option == "--device" and value.startswith(_CDI))
        (gpus if is_gpu else others).extend(pair)
    return _Arguments(key, tuple(others), tuple(gpus))


def _warnings(settings: Settings) -> tuple[str, ...]:
    arguments = _arguments(settings)
    if not arguments.gpus or not _devices(settings):
        return ()
    ignored = " ".join(arguments.gpus)
    where = settings.where(arguments.key)
    return (f"{where}: {ignored} is ignored: --gpus or accelerator_count says which GPUs to use",)


def _gpu_options(settings: Settings, arguments: _Arguments) -> Argv:
    devices = _devices(settings)
    if not devices:
        return _translated(arguments.gpus)
    if not settings.is_podman:
        return (f"--gpus={devices}",)
    return _cdi_devices(devices)


def _translated(options: Argv) -> Argv:
    """Return options for GPUs in the syntax of Podman, which accepts ``--gpus`` and ignores it."""
    if options[:1] == ("--gpus",):
        return (*_cdi_devices(options[1]), *_translated(options[2:]))
    if options and options[0].startswith("--gpus="):
        value = options[0].removeprefix("--gpus=")
        return (*_cdi_devices(value), *_translated(options[1:]))
    return (*options[:1], *_translated(options[1:])) if options else ()


def _cdi_devices(devices: str) -> Argv:
    """Return Podman's options for the devices of ``--gpus``; it names them through CDI."""
    if devices.isdecimal():
        names = [str(number) for number in range(int(devices))]
    else:
        names = devices.strip('"').removeprefix("device=").split(",")
    return tuple(f"--device={_CDI}{name}" for name in names)


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
    if settings.is_podman and '"' in line:
        raise PlanError(f"podman cannot mount a path with both ':' and ',' or '\"': {mount.source}")
    return ("--mount", line)
