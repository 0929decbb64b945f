# SPDX-License-Identifier: Apache-2.0
"""The settings in force for one platform, and whose word each of them is.

Lowest to highest: defaults, the user's platform for all hosts, the host's settings,
``mlcube.yaml``, ``-P``, the options of the command line, ``-P runner.…``. Mappings such as
``env_args`` merge name by name.
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
"""Sections that a platform reads, the later winning. A platform's relative lends everything but
its executable."""

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


@attrs.frozen(kw_only=True)
class Settings:
    """The merged settings of one platform."""

    platform: str
    cube: Cube
    values: Mapping[str, Any]
    sections: Mapping[str, str]
    """Key → section of ``mlcube.yaml`` that has the last word on it; other keys are trusted."""
    warnings: tuple[str, ...] = ()

    def where(self, key: str) -> str:
        """Say where the value of a key comes from, for messages."""
        if key in self.sections:
            return f"{self.cube.where(self.sections[key], key)}: {self.sections[key]}.{key}"
        return f"{self.platform}.{key}"

    def get(self, key: str) -> Any:
        """Return the value, or the setting's default."""
        value = self.values.get(key)
        return SETTINGS[self.platform][key].default if value is None else value

    def text(self, key: str) -> str:
        """Return a value that is one piece of text, such as a path."""
        return str(self.get(key) or "")

    def words(self, key: str) -> tuple[str, ...]:
        """Split a value into words as a shell would, expanding nothing."""
        text = self.text(key)
        try:
            return tuple(shlex.split(text))
        except ValueError as error:
            raise PlanError(f"{self.where(key)}: {error}: {text}") from error

    def pairs(self, key: str, option: str) -> tuple[str, ...]:
        """Return ``option NAME=value`` for each pair; text is split into words instead."""
        value = self.get(key)
        if not isinstance(value, Mapping):
            return self.words(key)
        return tuple(
            word
            for name, item in value.items()
            for word in (option, f"{name}={'' if item is None else item}")
        )

    def options(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``KEY=value`` for those of the ``--…`` keys that are set."""
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
    """Merge all sources of settings for a platform.

    Args:
        cube: The cube.
        platform: One of :data:`mlcube_remote.platforms.PLATFORMS`.
        host: The host's settings by section (``Host.settings``).
        options: The command line's.
        user: The user's settings of this platform for all hosts (``~/mlcube.yaml``).

    Raises:
        PlanError: ``-P runner.…`` names no setting of the platform, or a value is wrong.
    """
    values: dict[str, Any] = {}
    sections: dict[str, str] = {}
    warnings: list[str] = []

    def put(source: Mapping[str, Any], section: str, *, by_cube: bool = False) -> None:
        for key, value in source.items():
            if key not in SETTINGS[platform] or value is None:
                continue
            old = values.get(key)
            both = isinstance(old, Mapping) and isinstance(value, Mapping)
            values[key] = {**old, **value} if both else value  # type: ignore[dict-item]
            sections.pop(key, None)
            if by_cube:
                sections[key] = section

    put(user, platform)
    for section in SECTIONS[platform]:
        put(host.get(section, NOTHING), section)
    for section in SECTIONS[platform]:
        put(cube.settings.get(section, NOTHING), section, by_cube=True)
    for section in SECTIONS[platform]:
        given = cube.overrides.get(section, NOTHING)
        put(given, section)
        warnings += [
            f"-P {section}.{key} has no meaning on {platform}"
            for key in given
            if key not in SETTINGS[platform]
        ]
    put(_from_options(platform, options), platform)
    runner = cube.overrides.get("runner", NOTHING)
    for key, value in runner.items():
        if key not in SETTINGS[platform]:
            raise PlanError(
                f"-P runner.{key}: {platform} has no such setting",
                hint=f"known: {', '.join(SETTINGS[platform])}",
            )
        if problem := check_setting(platform, key, value):
            raise PlanError(f"-P runner.{key}: {problem}")
    put(runner, "runner")
    return Settings(
        platform=platform,
        cube=cube,
        values=values,
        sections=sections,
        warnings=tuple(warnings),
    )


def _from_options(platform: str, options: Options) -> dict[str, str]:
    keys = _OPTION_KEYS["docker" if platform == "podman" else platform]
    given = attrs.asdict(options)
    for name, value in given.items():
        if value is not None and "\0" in value:
            raise PlanError(f"--{name}: the value holds a NUL character")
    # MLCube leaves an empty option away, except --gpus, which then means "none".
    return {key: given[name] for name, key in keys.items() if given[name] or key == "--gpus"}
