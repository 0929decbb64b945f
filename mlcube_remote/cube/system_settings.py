# SPDX-License-Identifier: Apache-2.0
"""MLCube's system settings, ``~/mlcube.yaml``: platforms that a person has set up for all cubes.

The reference implementation makes this file and writes into it; here it is read alone. Only the
platform that is asked for is looked at: the file may hold others, for runners that are not ours.
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
from mlcube_remote.yamlsource import Document, Key, nearest

VARIABLE = "MLCUBE_SYSTEM_SETTINGS"
"""The environment variable that names another file; it is the reference's."""

REMOTE = "remote"
"""The runner of platforms that are hosts: MLCube's name for this package."""

REMOTE_KEYS = ("host", "platform", "inventory")

_RELATIVES: Mapping[str, str] = MappingProxyType(
    {"docker": "podman", "podman": "docker", "singularity": "apptainer", "apptainer": "singularity"}
)


@attrs.frozen(kw_only=True)
class UserPlatform:
    """One entry of ``platforms:``."""

    name: str
    platform: str
    """One of :data:`mlcube_remote.platforms.PLATFORMS`, or :data:`REMOTE`."""
    settings: Mapping[str, Any] = NOTHING
    """What the file says of that platform, interpolations resolved, defaults left out; of a
    :data:`REMOTE` one, texts under :data:`REMOTE_KEYS`."""
    where: str = ""
    """``FILE:LINE:COLUMN``, for messages."""


@attrs.frozen(kw_only=True)
class SystemSettings:
    """The file, or the absence of one."""

    document: Document | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names under ``platforms:``."""
        return tuple(name for name in self._platforms() if isinstance(name, str))

    def platform(self, name: str) -> UserPlatform | None:
        """Return a platform; ``None`` where the file has none of this name.

        Raises:
            UsageError: What the file says of it is wrong; the message begins with its place.
        """
        if self.document is None or self._platforms().get(name) is None:
            return None
        return _Entry(self.document, name).read()

    def _platforms(self) -> Mapping[Any, Any]:
        data = None if self.document is None else self.document.data
        # Without `platforms:` it is some other mlcube.yaml: a cube whose directory is the home.
        platforms = data.get("platforms") if isinstance(data, Mapping) else None
        if platforms is None:
            return {}
        if not isinstance(platforms, Mapping):
            assert self.document is not None  # noqa: S101 - for mypy: the data came from it
            where = self.document.where(("platforms",))
            raise UsageError(f"{where}: platforms: expected a mapping of names to platforms")
        return platforms


NO_SYSTEM_SETTINGS = SystemSettings()
"""What a person has who has no such file."""


def load() -> SystemSettings:
    """Read the file, if there is one.

    Raises:
        UsageError: It cannot be read, or is not YAML.
    """
    path = Path(os.path.expanduser(os.environ.get(VARIABLE) or "~/mlcube.yaml"))
    if not os.path.exists(path):
        return NO_SYSTEM_SETTINGS
    return SystemSettings(document=yamlsource.load(path, error=UsageError))


@attrs.frozen
class _Entry:
    document: Document
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
                "missing" if runner is None else f"no runner here is called {runner!r}",
                f"expected one of: {expected}",
            )
        return UserPlatform(
            name=self.name, platform=platform, settings=settings, where=self.locate()
        )

    def remote(self, entry: Mapping[Any, Any]) -> Mapping[str, str]:
        values = {key: value for key, value in entry.items() if value is not None}
        for key, value in values.items():
            if key not in {*REMOTE_KEYS, "runner"}:
                self.unknown(key, REMOTE_KEYS)
            if not isinstance(value, str):
                self.fail((key,), f"expected text, got {value!r}", f'quote it: "{value}"')
        resolved = self.resolved(values)
        return {key: resolved[key] for key in REMOTE_KEYS if resolved.get(key)}

    def engine(self, runner: str, entry: Mapping[Any, Any]) -> tuple[str, Mapping[str, Any]]:
        known = SETTINGS[runner]
        for key in entry:
            if key != "runner" and key not in known:
                self.unknown(key, known)
        values = {key: value for key, value in entry.items() if key in known}
        for key, value in values.items():
            if problem := check_setting(runner, key, value):
                self.fail((key,), problem)
        said = {key: value for key, value in values.items() if _says_something(runner, key, value)}
        resolved = self.resolved(said)
        for key, value in resolved.items():
            self.refuse_unbalanced(runner, key, value)
        platform = self.meant(runner, str(resolved.get(runner, runner)))
        if platform != runner and runner in resolved:
            resolved[platform] = resolved.pop(runner)
        return platform, resolved

    def meant(self, runner: str, executable: str) -> str:
        """Return the platform: MLCube knows Podman as a Docker of another name, and so on."""
        relative = _RELATIVES[runner]
        if self.name in PLATFORMS:
            if self.name not in {runner, relative}:
                self.fail(
                    ("runner",),
                    f"expected {self.name} or {_RELATIVES[self.name]} in a platform of this name, "
                    f"got {runner}",
                    "give the platform another name",
                )
            return self.name
        return relative if os.path.basename(shlex.split(executable)[-1]) == relative else runner

    def resolved(self, values: Mapping[str, Any]) -> dict[str, Any]:
        try:
            # By themselves: a stranger's cube must not speak with the user's voice.
            data, _ = resolve(values, (), self.locate)
        except CubeError as problem:
            raise UsageError(
                problem.message,
                hint="a platform may refer to ${oc.env:NAME}, ${runtime.root} and "
                "${runtime.workspace}",
            ) from problem
        return data

    def refuse_unbalanced(self, runner: str, key: str, value: Any) -> None:
        kind = SETTINGS[runner][key].kind
        if kind not in {Kind.WORDS, Kind.PAIRS} or not isinstance(value, str):
            return
        try:
            words = shlex.split(value)
        except ValueError as problem:
            self.fail((key,), f"{problem}: {value}")
        if key == runner and not words:
            self.fail((key,), "expected a program to run")

    def unknown(self, key: Any, known: Mapping[str, Any] | tuple[str, ...]) -> NoReturn:
        meant = nearest(str(key), known)
        suffix = f" (did you mean '{meant}'?)" if meant else ""
        self.fail((key,), f"unknown key{suffix}", f"known: {', '.join(known)}")


def _says_something(runner: str, key: str, value: Any) -> bool:
    """Whether a value differs from what the reference writes into the file by itself."""
    default = SETTINGS[runner][key].default
    if value is None or (default is None and value in ("", {})):
        return False
    return value not in (default, f"${{{runner}.{key}}}")
