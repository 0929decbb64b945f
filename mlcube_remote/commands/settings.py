# SPDX-License-Identifier: Apache-2.0
"""Merge the settings of one platform from all sources.

From lowest to highest precedence: defaults, the user's platform for all hosts, the host's settings,
``mlcube.yaml``, ``-P``, the options of the command line, ``-P runner.…``. Mappings such as
``env_args`` are merged name by name.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from mlcube_remote.commands.model import Options
from mlcube_remote.cube.model import NOTHING, Cube
from mlcube_remote.errors import PlanError
from mlcube_remote.platforms import SETTINGS, check_setting

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "docker": ("docker",),
    "podman": ("docker", "podman"),
    "singularity": ("singularity",),
    "apptainer": ("singularity", "apptainer"),
}
"""Platform → the sections that it reads; the last one has precedence.

Podman also reads Docker's section and Apptainer also reads Singularity's, except the executable.
"""

_OPTION_KEYS: Mapping[str, Mapping[str, str]] = {
    "docker": {
        "network": "--network",
        "security": "--security-opt",
        "gpus": "--gpus",
        "memory": "--memory",
        "cpu": "--cpuset-cpus",
    },
    "singularity": {
        "network": "--network",
        "security": "--security",
        "memory": "--vm-ram",
        "cpu": "--vm-cpu",
    },
    "apptainer": {
        "network": "--network",
        "security": "--security",
        "memory": "--memory",
        "cpu": "--cpuset-cpus",
    },
}


_INSTEAD: Mapping[str, str] = {
    "run_args": ": write cpu_args, and gpu_args for tasks with accelerators"
}
"""Key → the end of the warning that it has no effect."""


@attrs.frozen(kw_only=True)
class Settings:
    """The merged settings of one platform."""

    platform: str
    cube: Cube
    values: Mapping[str, Any]
    sections: Mapping[str, str]
    """Key → section of mlcube.yaml, for keys whose value is from mlcube.yaml.

    All other values are from the user, who is trusted.
    """
    warnings: tuple[str, ...] = ()
    is_podman: bool = False
    """Whether the engine is Podman, perhaps behind the name ``docker``."""
    has_leased_gpus: bool = False
    """Whether the job leased the GPUs in ``--gpus``, so that it may use no others."""
    decided_by: tuple[str, ...] = ()
    """Absolute paths on the host: what exists there decided some of the values."""

    def where(self, key: str) -> str:
        """Return the position and name of a key, for messages."""
        if key in self.sections:
            return f"{self.cube.where(self.sections[key], key)}: {self.sections[key]}.{key}"
        return f"{self.platform}.{key}"

    def get(self, key: str) -> Any:
        """Return the value, or the setting's default."""
        value = self.values.get(key)
        return SETTINGS[self.platform][key].default if value is None else value

    def text(self, key: str) -> str:
        """Return a value as text, such as a path."""
        return str(self.get(key) or "")

    def words(self, key: str) -> tuple[str, ...]:
        """Split a value into words as a shell does, without expansions.

        Raises:
            PlanError: A quotation mark has no counterpart.
        """
        text = self.text(key)
        try:
            return tuple(shlex.split(text))
        except ValueError as error:
            raise PlanError(f"{self.where(key)}: {error}: {text}") from error

    def pairs(self, key: str, option: str) -> tuple[str, ...]:
        """Return ``option NAME=value`` for each pair of a mapping; split a text into words."""
        value = self.get(key)
        if not isinstance(value, Mapping):
            return self.words(key)
        return tuple(
            word
            for name, item in value.items()
            for word in (option, f"{name}={'' if item is None else item}")
        )

    def options(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``KEY=value`` for each of the ``--…`` keys that is set."""
        return tuple(
            f"{key}={self.values[key]}" for key in keys if self.values.get(key) is not None
        )


def merge(
    cube: Cube,
    platform: str,
    host: Mapping[str, Mapping[str, Any]],
    options: Options,
    user: Mapping[str, Any] = NOTHING,
) -> Settings:
    """Return the settings of a platform, merged from all sources.

    Args:
        cube: The cube.
        platform: One of :data:`mlcube_remote.platforms.PLATFORMS`.
        host: The host's settings by section (``Host.settings``).
        options: The command line's.
        user: The user's settings of this platform for all hosts (``~/mlcube.yaml``).

    Raises:
        PlanError: ``-P runner.…`` names an unknown setting, or a value is wrong.
    """
    merger = _Merger(platform)
    merger.add(user)
    for section in SECTIONS[platform]:
        merger.add(host.get(section, NOTHING))
    for section in SECTIONS[platform]:
        merger.add(cube.settings.get(section, NOTHING), cube_section=section)
    for section in SECTIONS[platform]:
        merger.add(cube.overrides.get(section, NOTHING))
    merger.add(_from_options(platform, options))
    merger.add(_runner_overrides(cube, platform))
    return Settings(
        platform=platform,
        cube=cube,
        values=merger.values,
        sections=merger.sections,
        warnings=(*_ignored_overrides(cube, platform), *_dropped(cube, platform, host)),
    )


@attrs.define
class _Merger:
    platform: str
    values: dict[str, Any] = attrs.field(factory=dict)
    sections: dict[str, str] = attrs.field(factory=dict)

    def add(self, source: Mapping[str, Any], *, cube_section: str | None = None) -> None:
        """Add settings that replace those of earlier sources; mappings are merged."""
        for key, value in source.items():
            if not _has_effect(self.platform, key) or value is None:
                continue
            old = self.values.get(key)
            if isinstance(old, Mapping) and isinstance(value, Mapping):
                self.values[key] = {**old, **value}
            else:
                self.values[key] = value
            self.sections.pop(key, None)
            if cube_section is not None:
                self.sections[key] = cube_section


def _runner_overrides(cube: Cube, platform: str) -> Mapping[str, Any]:
    """Return the settings of ``-P runner.…``, checked."""
    runner = cube.overrides.get("runner", NOTHING)
    for key, value in runner.items():
        if key not in SETTINGS[platform]:
            raise PlanError(
                f"-P runner.{key}: {platform} has no such setting",
                hint=f"known: {', '.join(SETTINGS[platform])}",
            )
        if problem := check_setting(platform, key, value):
            raise PlanError(f"-P runner.{key}: {problem}")
    return runner


def _ignored_overrides(cube: Cube, platform: str) -> tuple[str, ...]:
    """Return a warning for each ``-P`` with a setting that the platform does not have."""
    return tuple(
        f"-P {section}.{key} has no effect on {platform}"
        for section in SECTIONS[platform]
        for key in cube.overrides.get(section, NOTHING)
        if not _has_effect(platform, key)
    )


def _dropped(cube: Cube, platform: str, host: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return a warning for each setting of a section that the platform reads and cannot apply."""
    places = [
        (f"{cube.where(section, key)}: {section}.{key}", key)
        for section in SECTIONS[platform]
        for key, value in cube.settings.get(section, NOTHING).items()
        if value is not None and key not in {*cube.overrides.get(section, NOTHING), section}
    ]
    places += [
        (f"the host's {section}.{key}", key)
        for section in SECTIONS[platform]
        for key in host.get(section, NOTHING)
        if key != section
    ]
    return tuple(
        f"{place} has no effect on {platform}{_INSTEAD.get(key, '')}"
        for place, key in places
        # An archive of the image is only for SIF files.
        if not _has_effect(platform, key) and key != "tar_file"
    )


def _has_effect(platform: str, key: str) -> bool:
    return key in SETTINGS[platform] and (platform, key) != ("docker", "run_args")


def _from_options(platform: str, options: Options) -> dict[str, str]:
    keys = _OPTION_KEYS["docker" if platform == "podman" else platform]
    given = attrs.asdict(options)
    for name, value in given.items():
        if value is not None and "\0" in value:
            raise PlanError(f"--{name}: the value contains a NUL character")
    # MLCube omits an empty option, except --gpus, which then means no GPU.
    return {key: given[name] for name, key in keys.items() if given[name] or key == "--gpus"}
