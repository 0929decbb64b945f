# SPDX-License-Identifier: Apache-2.0
"""The platforms that a task can run on, with all their settings.

One schema for three places: the sections of ``mlcube.yaml``, those of the inventory, and
docs/reference/platforms.md. The names and defaults are MLCube's where MLCube has the setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any

import attrs

from mlcube_remote.formatting import describe_value

PLATFORMS = ("docker", "podman", "singularity", "apptainer")
"""Platform names; each is also the name of its section and of its default executable."""

CONTAINER_ENGINES = frozenset({"docker", "podman"})
"""Platforms that keep images in an engine; the others keep them as SIF files."""


class Kind(Enum):
    """The form of a setting's value; the text is for messages."""

    TEXT = "text"
    SCALAR = "text or a number"
    WORDS = "text, split into words as in a shell"
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
    """``None``: the option is omitted."""
    choices: tuple[str, ...] = ()


def _engine(name: str, *more: Setting) -> tuple[Setting, ...]:
    return (*_image_settings(name), *more, *_RUN_SETTINGS)


def _image_settings(name: str) -> tuple[Setting, ...]:
    return (
        Setting(name="image", kind=Kind.TEXT, doc="Image name; required."),
        Setting(
            name=name,
            kind=Kind.WORDS,
            default=name,
            doc=f"Executable, with its options or `sudo`: `{name}`, `sudo {name}`, a path.",
        ),
        Setting(
            name="env_args", kind=Kind.PAIRS, doc="Variables of the container: `-e NAME=value`."
        ),
        Setting(
            name="gpu_args",
            kind=Kind.WORDS,
            doc="Options of `run` if the task has accelerators.",
        ),
        Setting(
            name="cpu_args",
            kind=Kind.WORDS,
            doc="Options of `run` if the task has no accelerator.",
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
            doc="`pull` never builds; `auto` builds if there is a recipe; "
            "`always` builds before each run.",
        ),
    )


_RUN_SETTINGS = (
    Setting(name="--network", kind=Kind.SCALAR, doc="Network of the container; `--network`."),
    Setting(name="--security-opt", kind=Kind.SCALAR, doc="Security option; `--security`."),
    Setting(name="--gpus", kind=Kind.SCALAR, doc="GPUs of the container; `--gpus`."),
    Setting(name="--memory", kind=Kind.SCALAR, doc="Memory limit; `--memory`."),
    Setting(name="--cpuset-cpus", kind=Kind.SCALAR, doc="CPUs of the container; `--cpu`."),
    Setting(
        name="--mount_opts",
        kind=Kind.CHOICE,
        choices=("ro", "rw"),
        doc="Mount option of inputs that have none; `--mount`.",
    ),
)


_DOCKER_ONLY = (
    Setting(name="tar_file", kind=Kind.TEXT, doc="Image archive to build a SIF file from."),
    Setting(
        name="run_args",
        kind=Kind.WORDS,
        doc="Options of `run` if Singularity or Apptainer runs this image.",
    ),
)
"""Settings for Singularity and Apptainer, which use Docker's section if they have none."""

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
    Setting(name="--cpuset-cpus", kind=Kind.SCALAR, doc="CPUs of the container; `--cpu`."),
)

_PRIVATE_HOME = Setting(
    name="private_home",
    kind=Kind.SWITCH,
    doc="`false`: tasks see the home, `/tmp`, working directory and processes of the host's user; "
    "by default, they get their own.",
)


def _sif(name: str, limits: tuple[Setting, ...]) -> tuple[Setting, ...]:
    return (
        Setting(
            name="image",
            kind=Kind.TEXT,
            doc="SIF file, relative to `image_dir`, or absolute.",
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
            doc=f"Executable, with its options or `sudo`: `{name}`, a path.",
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
        _PRIVATE_HOME,
        Setting(name="--network", kind=Kind.SCALAR, doc="Network of the container; `--network`."),
        Setting(name="--security", kind=Kind.SCALAR, doc="Security option; `--security`."),
        Setting(
            name="--nv", kind=Kind.SWITCH, doc="Pass NVIDIA devices to the container; `--gpus`."
        ),
        *limits,
        Setting(
            name="--mount_opts",
            kind=Kind.CHOICE,
            choices=("ro", "rw"),
            doc="Mount option of inputs that have none; `--mount`.",
        ),
    )


def _by_name(settings: tuple[Setting, ...]) -> Mapping[str, Setting]:
    return MappingProxyType({setting.name: setting for setting in settings})


SETTINGS: Mapping[str, Mapping[str, Setting]] = MappingProxyType(
    {
        "docker": _by_name(_engine("docker", *_DOCKER_ONLY)),
        "podman": _by_name(_engine("podman") + _PODMAN_ONLY),
        "singularity": _by_name(_sif("singularity", _VM_LIMITS)),
        "apptainer": _by_name(_sif("apptainer", _CGROUP_LIMITS)),
    }
)
"""Section → key → setting, in the order of docs/reference/platforms.md."""


MAX_GPUS = 1024
"""Number of GPUs of a task; the command for some engines names each of them."""


def check_setting(section: str, key: str, value: Any) -> str | None:
    """Check the value of a setting.

    Args:
        section: One of :data:`PLATFORMS`.
        key: A key of ``SETTINGS[section]``.
        value: The value from YAML; ``None`` always means the default.

    Returns:
        ``expected …, got …``, or ``None`` if the value is valid.
    """
    if value is None:
        return None
    setting = SETTINGS[section][key]
    if key == "--gpus" and has_too_many_gpus(value):
        return f"expected at most {MAX_GPUS} GPUs, got more"
    if setting.kind is Kind.CHOICE:
        if value in setting.choices:
            return None
        return f"expected one of {', '.join(setting.choices)}, got {describe_value(value)}"
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
        return f"expected {setting.kind.value}, got {describe_value(value)}"
    if isinstance(value, str) and "\0" in value:
        return "expected text, got a value with a NUL character"
    return None


def has_too_many_gpus(value: Any) -> bool:
    """Return whether a value is a number of GPUs that no host has."""
    text = str(value).strip().lstrip("0")[: len(str(MAX_GPUS)) + 1]
    return text.isdecimal() and int(text) > MAX_GPUS


def _check_pairs(pairs: Mapping[Any, Any]) -> str | None:
    for name, value in pairs.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            return f"expected names without '=', got {describe_value(name)}"
        if not isinstance(value, (str, int, float, bool, type(None))):
            return f"expected text or a number for {name}, got {describe_value(value)}"
        if isinstance(value, str) and "\0" in value:
            return f"expected text for {name}, got a value with a NUL character"
    return None
