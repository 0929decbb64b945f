# SPDX-License-Identifier: Apache-2.0
"""The platforms a task can run on, and every setting each of them has.

One schema for three places: the sections of ``mlcube.yaml``, those of the inventory, and
docs/reference/platforms.md. The names and defaults are MLCube's where MLCube has the setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any

import attrs

PLATFORMS = ("docker", "podman", "singularity", "apptainer")
"""Platform names; each is also the name of its section and of its default executable."""

CONTAINER_ENGINES = frozenset({"docker", "podman"})
"""Platforms that keep images in an engine; the others keep them as SIF files."""


class Kind(Enum):
    """What a setting's value looks like; the value says it to a reader."""

    TEXT = "text"
    SCALAR = "text or a number"
    WORDS = "text, split into words as a shell would"
    PAIRS = "a mapping of names to values, or text split into words"
    CHOICE = "one of a few words"
    SWITCH = "true or false"


@attrs.frozen(kw_only=True)
class Setting:
    """One key of a platform section."""

    name: str
    kind: Kind
    doc: str
    default: str | None = None
    """``None``: the option is left away."""
    choices: tuple[str, ...] = ()


def _engine(name: str, *more: Setting) -> tuple[Setting, ...]:
    return (
        Setting(name="image", kind=Kind.TEXT, doc="Image name; required."),
        Setting(
            name=name,
            kind=Kind.WORDS,
            default=name,
            doc=f"Executable, with what stands in front of it: `{name}`, `sudo {name}`, a path.",
        ),
        Setting(
            name="env_args", kind=Kind.PAIRS, doc="Variables of the container: `-e NAME=value`."
        ),
        Setting(
            name="gpu_args",
            kind=Kind.WORDS,
            doc="Options of `run` when the task has accelerators.",
        ),
        Setting(
            name="cpu_args",
            kind=Kind.WORDS,
            doc="Options of `run` when the task has no accelerator.",
        ),
        Setting(
            name="build_args",
            kind=Kind.PAIRS,
            doc="Variables of the build: `--build-arg NAME=value`; as text, options of `build`.",
        ),
        Setting(
            name="build_context",
            kind=Kind.TEXT,
            default=".",
            doc="Directory to build from, relative to the cube.",
        ),
        Setting(
            name="build_file",
            kind=Kind.TEXT,
            default="Dockerfile",
            doc="Recipe, relative to `build_context`.",
        ),
        Setting(
            name="build_strategy",
            kind=Kind.CHOICE,
            default="pull",
            choices=("pull", "auto", "always"),
            doc="`pull` never builds; `auto` builds where there is a recipe; "
            "`always` does so before each run.",
        ),
        *more,
        Setting(name="--network", kind=Kind.SCALAR, doc="Network of the container; `--network`."),
        Setting(name="--security-opt", kind=Kind.SCALAR, doc="Security option; `--security`."),
        Setting(name="--gpus", kind=Kind.SCALAR, doc="Devices to hand over; `--gpus`."),
        Setting(name="--memory", kind=Kind.SCALAR, doc="Memory limit; `--memory`."),
        Setting(name="--cpuset-cpus", kind=Kind.SCALAR, doc="CPUs it may use; `--cpu`."),
        Setting(
            name="--mount_opts",
            kind=Kind.CHOICE,
            choices=("ro", "rw"),
            doc="How inputs are mounted that do not say so themselves; `--mount`.",
        ),
    )


_OF_ITS_SIF = (
    Setting(name="tar_file", kind=Kind.TEXT, doc="Image archive that a SIF is built from."),
    Setting(
        name="run_args",
        kind=Kind.WORDS,
        doc="Options of `run` when Singularity or Apptainer runs this image.",
    ),
)
"""Docker's alone, whose section Singularity and Apptainer fall back on."""

_PODMAN_ONLY = (
    Setting(name="--userns", kind=Kind.SCALAR, doc="User namespace, such as `keep-id`."),
    Setting(
        name="selinux",
        kind=Kind.CHOICE,
        choices=("z", "Z"),
        doc="SELinux label of mounts: `z` shared, `Z` private to the container.",
    ),
)


_VM_LIMITS = (
    Setting(name="--vm-ram", kind=Kind.SCALAR, doc="Memory of a virtual machine; `--memory`."),
    Setting(name="--vm-cpu", kind=Kind.SCALAR, doc="CPUs of a virtual machine; `--cpu`."),
)
_CGROUP_LIMITS = (
    Setting(name="--memory", kind=Kind.SCALAR, doc="Memory limit; `--memory`."),
    Setting(name="--cpuset-cpus", kind=Kind.SCALAR, doc="CPUs it may use; `--cpu`."),
)


def _sif(name: str, limits: tuple[Setting, ...]) -> tuple[Setting, ...]:
    return (
        Setting(
            name="image",
            kind=Kind.TEXT,
            doc="SIF file, relative to `image_dir`, or absolute; required in this section.",
        ),
        Setting(
            name="image_dir",
            kind=Kind.TEXT,
            default="${runtime.workspace}/.image",
            doc="Directory of the image.",
        ),
        Setting(
            name=name,
            kind=Kind.WORDS,
            default=name,
            doc=f"Executable, with what stands in front of it: `{name}`, a path.",
        ),
        Setting(
            name="build_args",
            kind=Kind.WORDS,
            default="--fakeroot",
            doc="Options of `build`.",
        ),
        Setting(name="run_args", kind=Kind.WORDS, doc="Options of `run` and `exec`."),
        Setting(
            name="build_file",
            kind=Kind.TEXT,
            default="Singularity.recipe",
            doc="Recipe, relative to the cube, or `docker://IMAGE`, or `docker-archive:FILE`.",
        ),
        Setting(name="--network", kind=Kind.SCALAR, doc="Network of the container; `--network`."),
        Setting(name="--security", kind=Kind.SCALAR, doc="Security option; `--security`."),
        Setting(name="--nv", kind=Kind.SWITCH, doc="Hand over NVIDIA devices; `--gpus`."),
        *limits,
        Setting(
            name="--mount_opts",
            kind=Kind.CHOICE,
            choices=("ro", "rw"),
            doc="How inputs are mounted that do not say so themselves; `--mount`.",
        ),
    )


def _by_name(settings: tuple[Setting, ...]) -> Mapping[str, Setting]:
    return MappingProxyType({setting.name: setting for setting in settings})


SETTINGS: Mapping[str, Mapping[str, Setting]] = MappingProxyType(
    {
        "docker": _by_name(_engine("docker", *_OF_ITS_SIF)),
        "podman": _by_name(_engine("podman") + _PODMAN_ONLY),
        "singularity": _by_name(_sif("singularity", _VM_LIMITS)),
        "apptainer": _by_name(_sif("apptainer", _CGROUP_LIMITS)),
    }
)
"""Section → key → setting, in the order of docs/reference/platforms.md."""


def check_setting(section: str, key: str, value: Any) -> str | None:
    """Say what is wrong with the value of a known setting.

    Args:
        section: One of :data:`PLATFORMS`.
        key: A key of ``SETTINGS[section]``.
        value: What YAML made of the value; ``None`` always means "the default".

    Returns:
        ``expected …, got …``, or ``None`` where the value is good.
    """
    if value is None:
        return None
    setting = SETTINGS[section][key]
    if setting.kind is Kind.CHOICE:
        if value in setting.choices:
            return None
        return f"expected one of {', '.join(setting.choices)}, got {_show(value)}"
    if setting.kind is Kind.PAIRS and isinstance(value, Mapping):
        return _check_pairs(value)
    is_good = isinstance(value, str) or (
        isinstance(value, bool)
        if setting.kind is Kind.SWITCH
        else setting.kind is Kind.SCALAR
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
    )
    if not is_good:
        return f"expected {setting.kind.value}, got {_show(value)}"
    if isinstance(value, str) and "\0" in value:
        return "expected text, got a value with a NUL character"
    return None


def _check_pairs(pairs: Mapping[Any, Any]) -> str | None:
    for name, value in pairs.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            return f"expected names without '=', got {_show(name)}"
        if not isinstance(value, (str, int, float, bool, type(None))):
            return f"expected text or a number for {name}, got {_show(value)}"
        if isinstance(value, str) and "\0" in value:
            return f"expected text for {name}, got a value with a NUL character"
    return None


def _show(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return repr(value)
