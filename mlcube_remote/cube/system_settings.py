# SPDX-License-Identifier: Apache-2.0
"""MLCube's system settings, ``~/mlcube.yaml``: the user's platforms for all cubes.

The reference implementation creates and changes this file; here it is only read. Only the
requested platform is checked, because others may be for runners that are not supported here.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import attrs

from mlcube_remote import yamlsource
from mlcube_remote.cube.model import NOTHING
from mlcube_remote.cube.resolve import resolve
from mlcube_remote.errors import CubeError, UsageError
from mlcube_remote.platforms import PLATFORMS, SETTINGS, Kind, check_setting
from mlcube_remote.suggestions import did_you_mean
from mlcube_remote.yamlsource import Key, YamlDocument

VARIABLE = "MLCUBE_SYSTEM_SETTINGS"
"""Environment variable with the name of another file, as in the reference implementation."""

REMOTE = "remote"
"""The runner of platforms that are hosts; MLCube has this name for this package."""

REMOTE_KEYS = ("host", "platform", "inventory")

_COUNTERPART: Mapping[str, str] = MappingProxyType(
    {"docker": "podman", "podman": "docker", "singularity": "apptainer", "apptainer": "singularity"}
)


@attrs.frozen(kw_only=True)
class UserPlatform:
    """One entry of ``platforms:``."""

    name: str
    platform: str
    """One of :data:`mlcube_remote.platforms.PLATFORMS`, or :data:`REMOTE`."""
    settings: Mapping[str, Any] = NOTHING
    """The platform's settings in the file, interpolations resolved, defaults omitted.

    For a :data:`REMOTE` platform, texts with the keys :data:`REMOTE_KEYS`.
    """
    where: str = ""
    """``FILE:LINE:COLUMN``, for messages."""


@attrs.frozen(kw_only=True)
class SystemSettings:
    """The file, if there is one."""

    document: YamlDocument | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names in ``platforms:``."""
        return tuple(name for name in self._platforms() if isinstance(name, str))

    def platform(self, name: str) -> UserPlatform | None:
        """Return a platform; ``None`` if the file has no platform with this name.

        Raises:
            UsageError: The platform is wrong; the message starts with its position.
        """
        if self.document is None or self._platforms().get(name) is None:
            return None
        return _Entry(self.document, name).read()

    def _platforms(self) -> Mapping[Any, Any]:
        data = None if self.document is None else self.document.data
        # A file without `platforms:` is the mlcube.yaml of a cube in the home directory.
        platforms = data.get("platforms") if isinstance(data, Mapping) else None
        if platforms is None:
            return {}
        if not isinstance(platforms, Mapping):
            assert self.document is not None  # noqa: S101 - for mypy: the data came from it
            where = self.document.where(("platforms",))
            raise UsageError(f"{where}: platforms: expected a mapping of names to platforms")
        return platforms


NO_SYSTEM_SETTINGS = SystemSettings()
"""The settings of a user without the file."""


def load() -> SystemSettings:
    """Read the file, if there is one.

    Raises:
        UsageError: The file cannot be read, or is not YAML.
    """
    path = Path(os.path.expanduser(os.environ.get(VARIABLE) or "~/mlcube.yaml"))
    if not os.path.exists(path):
        return NO_SYSTEM_SETTINGS
    return SystemSettings(document=yamlsource.load(path, error=UsageError))


@attrs.frozen
class _Entry:
    document: YamlDocument
    name: str

    def locate(self, keys: tuple[Key, ...] = ()) -> str:
        return self.document.where(("platforms", self.name, *keys))

    def fail(self, keys: tuple[Key, ...], problem: str, hint: str | None = None) -> NoReturn:
        label = ".".join(("platforms", self.name, *map(str, keys)))
        raise UsageError(f"{self.locate(keys)}: {label}: {problem}", hint=hint)

    def read(self) -> UserPlatform:
        entry = self.document.data["platforms"][self.name]
        if not isinstance(entry, Mapping):
            self.fail((), "expected a mapping with runner: and its settings")
        runner = entry.get("runner")
        if runner == REMOTE:
            platform, settings = REMOTE, self.remote(entry)
        elif runner in PLATFORMS:
            platform, settings = self.engine(str(runner), entry)
        else:
            expected = ", ".join((*PLATFORMS, REMOTE))
            self.fail(
                ("runner",),
                "missing" if runner is None else f"unknown runner {runner!r}",
                f"expected one of: {expected}",
            )
        return UserPlatform(
            name=self.name, platform=platform, settings=settings, where=self.locate()
        )

    def remote(self, entry: Mapping[Any, Any]) -> Mapping[str, str]:
        values = {key: value for key, value in entry.items() if value is not None}
        for key, value in values.items():
            if key not in {*REMOTE_KEYS, "runner"}:
                self.reject_unknown_key(key, REMOTE_KEYS)
            if not isinstance(value, str):
                self.fail((key,), f"expected text, got {value!r}", f'quote it: "{value}"')
        resolved = self.resolve(values)
        return {key: resolved[key] for key in REMOTE_KEYS if resolved.get(key)}

    def engine(self, runner: str, entry: Mapping[Any, Any]) -> tuple[str, Mapping[str, Any]]:
        known = SETTINGS[runner]
        for key in entry:
            if key != "runner" and key not in known:
                self.reject_unknown_key(key, known)
        values = {key: value for key, value in entry.items() if key in known}
        for key, value in values.items():
            if problem := check_setting(runner, key, value):
                self.fail((key,), problem)
        own = {key: value for key, value in values.items() if _is_set(runner, key, value)}
        resolved = self.resolve(own)
        for key, value in resolved.items():
            self.check_words(runner, key, value)
        platform = self.platform(runner, str(resolved.get(runner, runner)))
        if platform != runner and runner in resolved:
            resolved[platform] = resolved.pop(runner)
        return platform, resolved

    def platform(self, runner: str, executable: str) -> str:
        """Return the platform that the platform's name or its executable means.

        For MLCube, Podman is Docker with another executable; Apptainer is Singularity with another
        executable.
        """
        counterpart = _COUNTERPART[runner]
        if self.name in PLATFORMS:
            if self.name not in {runner, counterpart}:
                self.fail(
                    ("runner",),
                    f"expected {self.name} or {_COUNTERPART[self.name]} for a platform with this "
                    f"name, got {runner}",
                    "give the platform another name",
                )
            return self.name
        program = os.path.basename(shlex.split(executable)[-1])
        return counterpart if program == counterpart else runner

    def resolve(self, values: Mapping[str, Any]) -> dict[str, Any]:
        try:
            # Without the cube's data: a cube must not set the user's own settings.
            # The file is the user's own: it may read all variables.
            data = resolve(values, (), self.locate, lambda _: True).data
        except CubeError as problem:
            raise UsageError(
                problem.message,
                hint="a platform may refer to ${oc.env:NAME}, ${runtime.root} and "
                "${runtime.workspace}",
            ) from problem
        return data

    def check_words(self, runner: str, key: str, value: Any) -> None:
        kind = SETTINGS[runner][key].kind
        if kind not in {Kind.WORDS, Kind.PAIRS} or not isinstance(value, str):
            return
        try:
            words = shlex.split(value)
        except ValueError as problem:
            self.fail((key,), f"{problem}: {value}")
        if key == runner and not words:
            self.fail((key,), "expected a program to run")

    def reject_unknown_key(self, key: Any, known: Mapping[str, Any] | tuple[str, ...]) -> NoReturn:
        suggestion = did_you_mean(key, known)
        self.fail((key,), f"unknown key{suggestion}", f"known: {', '.join(known)}")


def _is_set(runner: str, key: str, value: Any) -> bool:
    """Return whether a value differs from the one that the reference implementation writes."""
    default = SETTINGS[runner][key].default
    if value is None or (default is None and value in ("", {})):
        return False
    return value not in (default, f"${{{runner}.{key}}}")
