# SPDX-License-Identifier: Apache-2.0
"""Build the commands of a task on a platform of a host.

The same functions build the commands of local runs, remote runs and ``--dry-run``. They use no disk
and no network: ``kind_of`` returns what exists on the host.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

import attrs

from mlcube_remote.commands import engine, sif
from mlcube_remote.commands.late_types import build_alternatives
from mlcube_remote.commands.model import Argv, ImageCommands, Target, TaskCommands, Writable
from mlcube_remote.commands.mounts import Bindings, Mount, bind
from mlcube_remote.commands.scratch import ScratchCopies, on_scratch
from mlcube_remote.commands.settings import SECTIONS, Settings, merge
from mlcube_remote.commands.sif_home import private_home, private_variables
from mlcube_remote.commands.sif_recipe import check_recipe
from mlcube_remote.commands.sif_source import with_source
from mlcube_remote.commands.workspace import after_copies, copies_for
from mlcube_remote.cube.host_paths import NO_VARIABLES, contains, missing_directories
from mlcube_remote.cube.model import Cube, Task
from mlcube_remote.cube.values import has_control
from mlcube_remote.errors import PlanError
from mlcube_remote.platforms import CONTAINER_ENGINES, PLATFORMS, SETTINGS
from mlcube_remote.suggestions import did_you_mean
from mlcube_remote.trust.cube_requests import (
    recipe_requests,
    setting_requests,
    task_requests,
    variable_requests,
)
from mlcube_remote.trust.requests import CubeRequest, Trust, check, trust_hint

MAX_WORD_BYTES = 128 * 1024 - 1
"""Maximum bytes of one argument in Linux (MAX_ARG_STRLEN, without the final NUL)."""
MAX_ARGV_BYTES = 1_500_000
"""Maximum bytes of one command; the limit of Linux is 2 MiB, environment included."""


@attrs.frozen(kw_only=True)
class BuiltCommands:
    """The commands of a job, and the settings that they were built from."""

    settings: Settings
    image: ImageCommands
    tasks: tuple[TaskCommands, ...]


def build_all(cube: Cube, tasks: Iterable[Task], target: Target) -> BuiltCommands:
    """Build the commands for the image of a cube and for some of its tasks.

    Args:
        cube: The cube.
        tasks: Tasks of the cube, with the parameter values for the target's host.
        target: The platform of the host.

    Raises:
        PlanError: Cube, platform, settings and parameters do not fit together.
    """
    target = attrs.evolve(target, kind_of=lru_cache(maxsize=None)(target.kind_of))
    settings = _merge_settings(cube, target)
    image = _image(settings, target)
    tasks = tuple(tasks)
    requests = (*_image_requests(settings), *_task_requests(cube, tasks))
    check(requests, target.trust, cube=cube.root)
    built = tuple(
        build_alternatives(
            cube, task, target.layout, lambda typed: _task(typed, target, settings, image)
        )
        for task in tasks
    )
    return BuiltCommands(settings=settings, image=image, tasks=built)


def _task(task: Task, target: Target, settings: Settings, image: ImageCommands) -> TaskCommands:
    cube = settings.cube
    copies = copies_for(cube, task, target.layout, target.kind_of)
    bindings = bind(
        cube,
        task,
        layout=target.layout,
        kind_of=after_copies(copies, target.kind_of),
        input_opts=settings.values.get("--mount_opts"),
        forced_input_opts=target.options.mount or None,
    )
    mounts = tuple(_protected(mount, bindings, target, cube) for mount in bindings.mounts)
    environment = NO_VARIABLES
    writable: tuple[Writable, ...] = ()
    home, copied = "", ScratchCopies()
    if target.platform in CONTAINER_ENGINES:
        before, after = engine.container(settings, task, mounts)
        writable = engine.writable(settings, mounts)
    else:
        moved, copied = on_scratch(mounts, target.scratch)
        before, after = sif.container(settings, task, moved, target.options.gpus)
        environment = sif.environment(target.platform, image.engine, target.options.gpus)
        home = private_home(settings, target.layout)
        if home:
            program = sif.dialect(target.platform, image.engine)
            environment = {**environment, **private_variables(program)}
    container = (*image.engine, *before, image.image, *after, *bindings.arguments)
    _check_size(task, container)
    directories = dict.fromkeys((target.layout.workspace, *(mount.source for mount in mounts)))
    return TaskCommands(
        **_fields(attrs.evolve(image, warnings=(*image.warnings, *bindings.warnings))),
        run=(*(image.configure if image.before_each_run else ()), container),
        launch_at=len(image.engine) + 1,
        environment=environment,
        private_home=home,
        writable=writable,
        outputs=tuple((mount.source, mount.target) for mount in mounts if mount.opts != "ro"),
        directories=tuple(directories),
        creates=missing_directories(directories, target.kind_of),
        copies=copies,
        scratch=copied,
    )


def _protected(mount: Mount, bindings: Bindings, target: Target, cube: Cube) -> Mount:
    """Mount the cube's own directory on this machine read-only, unless the cube is trusted.

    A task could otherwise change what the user runs there later, such as a hook of git. On another
    host, the directory is a mirror that is never copied back.
    """
    layout = target.layout
    is_own = layout.root == str(cube.root) and contains(layout.root, mount.source)
    if (
        target.trust.everything
        or mount.opts is not None
        or mount.source not in bindings.from_cube
        or not is_own
        or contains(layout.workspace, mount.source)
    ):
        return mount
    return attrs.evolve(mount, opts="ro")


def _fields(image: ImageCommands) -> dict[str, Any]:
    return {field.name: getattr(image, field.name) for field in attrs.fields(ImageCommands)}


def _image(settings: Settings, target: Target) -> ImageCommands:
    layout = target.layout.of_cube
    if target.platform in CONTAINER_ENGINES:
        context = target.sent_context(settings.text("build_context"))
        image = engine.image_commands(settings, layout, target.kind_of, context)
    else:
        image = sif.image_commands(settings, layout, target.kind_of)
        if target.read is not None and not target.trust.everything:
            recipe = check_recipe(settings, image, layout, target.read, target.trust)
            image = attrs.evolve(image, recipe=recipe)
    warnings = (*settings.cube.warnings, *settings.warnings, *image.warnings)
    return attrs.evolve(image, warnings=warnings)


def _image_requests(settings: Settings) -> Iterator[CubeRequest]:
    """Yield what the cube's settings ask for, as far as this platform uses them."""
    for section in dict.fromkeys(settings.sections.values()):
        keys = [key for key, origin in settings.sections.items() if origin == section]
        yield from setting_requests(settings.cube, section, keys)


def _task_requests(cube: Cube, tasks: Iterable[Task]) -> Iterator[CubeRequest]:
    """Yield what the cube's tasks ask for; the values are those before the data was placed."""
    for task in tasks:
        yield from task_requests(cube, cube.tasks[task.name])
    yield from variable_requests(cube)


def _merge_settings(cube: Cube, target: Target) -> Settings:
    """Merge the settings, find the source of a SIF image and refuse settings that cannot run."""
    platform, options = target.platform, target.options
    if options.mount not in {None, "", "ro", "rw"}:
        raise PlanError(f"--mount={options.mount}: expected ro or rw")
    if platform not in PLATFORMS:
        raise PlanError(
            f"unknown platform '{platform}'{did_you_mean(platform, PLATFORMS)}",
            hint=f"platforms: {', '.join(PLATFORMS)}",
        )
    merge_with = partial(merge, cube, platform, target.host_settings, options)
    if platform in CONTAINER_ENGINES:
        settings = _without_untrusted_build(merge_with(target.user_settings), target.trust)
        settings = attrs.evolve(
            settings,
            is_podman=platform == "podman" or target.docker_is_podman,
            has_leased_gpus=target.has_leased_gpus,
        )
    else:
        layout = target.layout.of_cube
        settings = with_source(merge_with, target.user_settings, layout, target.kind_of)
    if not settings.values.get("image"):
        raise _no_image(cube, platform)
    for key in ("image", "build_file", "build_context"):
        if key in SETTINGS[platform]:
            _check_name(settings, key)
    program = settings.words(platform)
    if not program or program[0].startswith("-"):
        raise PlanError(f"{settings.where(platform)}: expected a program to run")
    if platform not in CONTAINER_ENGINES and program == (platform,):
        found = {platform: sif.find_program(platform, target.programs)}
        settings = attrs.evolve(settings, values={**settings.values, **found})
    return settings


def _without_untrusted_build(settings: Settings, trust: Trust) -> Settings:
    """Pull the image if its recipe is outside the cube and the user has not allowed the build."""
    sections = dict.fromkeys(settings.sections.values())
    requests = (each for name in sections for each in recipe_requests(settings.cube, name))
    missing = trust.missing(requests)
    if not missing or settings.text("build_strategy") == "pull":
        return settings
    first = missing[0]
    warning = (
        f"{first.where}: {first.what}, outside the cube, is not allowed: the image is pulled; "
        f"to build it, {trust_hint(settings.cube.root)}"
    )
    return attrs.evolve(
        settings,
        values={**settings.values, "build_strategy": "pull"},
        warnings=(*settings.warnings, warning),
    )


def _no_image(cube: Cube, platform: str) -> PlanError:
    expected = " or ".join(f"`{section}: {{image: …}}`" for section in SECTIONS[platform])
    present = [section for section in SETTINGS if section in cube.settings]
    own = [section for section in present if section in SECTIONS[platform]]
    hint = f"it has sections for {', '.join(present)}; choose one with --platform"
    if own:
        hint = f"add the image to its section: {own[0]}: {{image: NAME}}"
    return PlanError(
        f"{cube.where(*present[:1])}: the cube has no image for {platform}: expected {expected}",
        hint=hint if present else None,
    )


def _check_name(settings: Settings, key: str) -> None:
    """Refuse a name that an engine would read as an option, and names with control characters."""
    value = settings.text(key)
    if value.startswith("-") or has_control(value):
        raise PlanError(
            f"{settings.where(key)}: expected a name that does not start with '-' and contains no "
            f"control characters, got {value!r}"
        )


def _check_size(task: Task, argv: Argv) -> None:
    try:
        sizes = [len(os.fsencode(word)) for word in argv]
    except UnicodeEncodeError as error:
        raise PlanError(f"task {task.name}: an argument is not text: {error.object!r}") from error
    if any("\0" in word for word in argv):
        raise PlanError(f"task {task.name}: an argument contains a NUL character")
    if max(sizes) > MAX_WORD_BYTES:
        raise PlanError(
            f"task {task.name}: an argument has {max(sizes)} bytes, more than the limit of "
            f"{MAX_WORD_BYTES}",
            hint="write the value into a file and pass the file",
        )
    if sum(sizes) + len(sizes) > MAX_ARGV_BYTES:
        raise PlanError(
            f"task {task.name}: a command has {sum(sizes)} bytes, more than the limit of "
            f"{MAX_ARGV_BYTES}"
        )
