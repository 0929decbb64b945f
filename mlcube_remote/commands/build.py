# SPDX-License-Identifier: Apache-2.0
"""The command builder: a task of a cube, on a platform of a host, becomes argv.

One definition serves local runs, remote runs and ``--dry-run``. Nothing here touches a disk or
a network: what exists on the host is asked of ``kind_of``.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import attrs

from mlcube_remote.commands import engine, sif
from mlcube_remote.commands.model import (
    NO_VARIABLES,
    Argv,
    ImageCommands,
    KindOf,
    Layout,
    Options,
    TaskCommands,
    Writable,
)
from mlcube_remote.commands.mounts import bind
from mlcube_remote.commands.settings import SECTIONS, Settings, merge
from mlcube_remote.commands.workspace import after_copies, copies_for
from mlcube_remote.cube.host_paths import missing_directories
from mlcube_remote.cube.model import NOTHING, Cube, Task
from mlcube_remote.cube.read import has_control
from mlcube_remote.errors import PlanError
from mlcube_remote.platforms import CONTAINER_ENGINES, PLATFORMS, SETTINGS
from mlcube_remote.trust.cube_requests import check_context, check_mounts, check_settings
from mlcube_remote.yamlsource import nearest

MAX_WORD = 128 * 1024 - 1
"""Bytes in one argument that Linux passes on (MAX_ARG_STRLEN, less the final NUL)."""
MAX_ARGV = 1_500_000
"""Bytes in one command; Linux stops at 2 MiB, which the environment shares."""

_NO_OPTIONS = Options()


def build(
    cube: Cube,
    task: Task,
    *,
    platform: str,
    host_settings: Mapping[str, Mapping[str, Any]],
    layout: Layout,
    options: Options,
    kind_of: KindOf,
    programs: Collection[str] = (),
    trusted: bool = False,
    user_settings: Mapping[str, Any] = NOTHING,
) -> TaskCommands:
    """Build the commands that configure a platform for a cube and run one of its tasks.

    Args:
        cube: The cube.
        task: One of its tasks, parameter values already those of this host.
        platform: One of :data:`mlcube_remote.platforms.PLATFORMS`.
        host_settings: The host's platform settings by section.
        layout: Where things are on the host.
        options: The command line's.
        kind_of: What there is at an absolute path on the host.
        programs: Which of ``singularity`` and ``apptainer`` the host has, where that is known: one
            stands in for the other where the settings name the platform's own.
        trusted: Whether the cube may ask for privileges (``--trust-cube``).
        user_settings: The user's settings of this platform for all hosts (``~/mlcube.yaml``).

    Raises:
        PlanError: Cube, platform, settings and parameters do not fit together.
    """
    kind_of = lru_cache(maxsize=None)(kind_of)
    settings = _settings(
        cube, platform, host_settings, user_settings, layout, options, kind_of, programs
    )
    image = _image(settings, layout, kind_of, trusted=trusted)
    copies = copies_for(cube, task, layout, kind_of)
    bindings = bind(
        cube,
        task,
        layout=layout,
        kind_of=after_copies(copies, kind_of),
        input_opts=settings.values.get("--mount_opts"),
        forced_input_opts=options.mount or None,
    )
    if not trusted:
        check_mounts(settings, task, bindings, layout)
    environment = NO_VARIABLES
    writable: tuple[Writable, ...] = ()
    if platform in CONTAINER_ENGINES:
        before, after = engine.container(settings, task, bindings.mounts)
        writable = engine.writable(settings, bindings.mounts)
    else:
        before, after = sif.container(settings, task, bindings.mounts, options.gpus)
        environment = sif.environment(platform, image.engine, options.gpus)
    container = (*image.engine, *before, image.image, *after, *bindings.arguments)
    _check_size(task, container)
    directories = tuple(
        dict.fromkeys((layout.workspace, *(mount.source for mount in bindings.mounts)))
    )
    parts = {field.name: getattr(image, field.name) for field in attrs.fields(ImageCommands)}
    return TaskCommands(
        **parts | {"warnings": (*image.warnings, *bindings.warnings)},
        run=(*(image.configure if image.before_each_run else ()), container),
        launch_at=len(image.engine) + 1,
        environment=environment,
        writable=writable,
        directories=directories,
        creates=missing_directories(directories, kind_of),
        copies=copies,
    )


def build_image(
    cube: Cube,
    *,
    platform: str,
    host_settings: Mapping[str, Mapping[str, Any]],
    layout: Layout,
    kind_of: KindOf,
    options: Options = _NO_OPTIONS,
    programs: Collection[str] = (),
    trusted: bool = False,
    user_settings: Mapping[str, Any] = NOTHING,
) -> ImageCommands:
    """Build the commands that configure a platform for a cube, whatever its tasks.

    Arguments and errors are those of :func:`build`.
    """
    settings = _settings(
        cube, platform, host_settings, user_settings, layout, options, kind_of, programs
    )
    return _image(settings, layout, kind_of, trusted=trusted)


def _image(settings: Settings, layout: Layout, kind_of: KindOf, *, trusted: bool) -> ImageCommands:
    if not trusted:
        check_settings(settings)
    if settings.platform in CONTAINER_ENGINES:
        image = engine.image_commands(settings, layout, kind_of)
        if image.source and not trusted:
            check_context(settings, engine.build_context(settings, layout), layout)
    else:
        image = sif.image_commands(settings, layout, kind_of)
    return attrs.evolve(image, warnings=(*settings.warnings, *image.warnings))


def _known(platform: str) -> str:
    if platform in PLATFORMS:
        return platform
    meant = nearest(platform, PLATFORMS)
    raise PlanError(
        f"unknown platform '{platform}'" + (f" (did you mean '{meant}'?)" if meant else ""),
        hint=f"platforms: {', '.join(PLATFORMS)}",
    )


def _settings(
    cube: Cube,
    platform: str,
    host_settings: Mapping[str, Mapping[str, Any]],
    user_settings: Mapping[str, Any],
    layout: Layout,
    options: Options,
    kind_of: KindOf,
    programs: Collection[str],
) -> Settings:
    """Merge the settings, fill in a SIF image that no section names, refuse what cannot run."""
    if options.mount not in {None, "", "ro", "rw"}:
        raise PlanError(f"--mount={options.mount}: expected ro or rw")
    settings = merge(cube, _known(platform), host_settings, options, user_settings)
    named = settings.values.get("image")
    if platform not in CONTAINER_ENGINES and (
        not named or ("image" not in settings.sections and named == user_settings.get("image"))
    ):
        derived = sif.derived(cube, layout, kind_of)
        # They are the cube's, which wins over what the user says for all cubes.
        weaker = {key: value for key, value in user_settings.items() if key not in derived}
        settings = merge(cube, platform, host_settings, options, weaker)
        settings = attrs.evolve(
            settings,
            values={**derived, **settings.values},
            sections={**dict.fromkeys(derived, "docker"), **settings.sections},
            warnings=(*settings.warnings, *sif.left_away(cube, platform, derived)),
        )
    if not settings.values.get("image"):
        own = " or ".join(f"`{section}: {{image: …}}`" for section in SECTIONS[platform])
        there = [section for section in SETTINGS if section in cube.settings]
        raise PlanError(
            f"{cube.where(*there[:1])}: the cube names no image for {platform}: expected {own}",
            hint=f"it has {', '.join(there)}; choose one with --platform" if there else None,
        )
    for key in ("image", "build_file", "build_context"):
        if key in SETTINGS[platform]:
            _check_name(settings, key)
    program = settings.words(platform)
    if not program or program[0].startswith("-"):
        raise PlanError(f"{settings.where(platform)}: expected a program to run")
    if platform not in CONTAINER_ENGINES and program == (platform,):
        found = {platform: sif.installed(platform, programs)}
        settings = attrs.evolve(settings, values={**settings.values, **found})
    return settings


def _check_name(settings: Settings, key: str) -> None:
    """Refuse what an engine would read as an option, or what could not be a name at all."""
    value = settings.text(key)
    if value.startswith("-") or has_control(value):
        raise PlanError(
            f"{settings.where(key)}: expected a name that does not begin with '-' and holds no "
            f"control characters, got {value!r}"
        )


def _check_size(task: Task, argv: Argv) -> None:
    try:
        sizes = [len(os.fsencode(word)) for word in argv]
    except UnicodeEncodeError as error:
        raise PlanError(f"task {task.name}: an argument is not text: {error.object!r}") from error
    if any("\0" in word for word in argv):
        raise PlanError(f"task {task.name}: an argument holds a NUL character")
    if max(sizes) > MAX_WORD:
        raise PlanError(
            f"task {task.name}: an argument of {max(sizes)} bytes is longer than the "
            f"{MAX_WORD} that a host passes on",
            hint="write the value into a file and pass the file",
        )
    if sum(sizes) + len(sizes) > MAX_ARGV:
        raise PlanError(
            f"task {task.name}: a command of {sum(sizes)} bytes is longer than the {MAX_ARGV} "
            "that a host passes on"
        )
