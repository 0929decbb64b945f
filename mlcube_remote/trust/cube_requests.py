# SPDX-License-Identifier: Apache-2.0
"""Check what a cube asks for: container options, mounts, build contexts, engines.

An ``mlcube.yaml`` may be from a person that the user does not know. It may configure its container,
but not reach out of it: no privileges, no host namespaces, devices, mounts or sockets. Options that
are known to be harmless are allowed; all others need ``--trust-cube``. Settings of the inventory,
of ``-P`` and of the command line are the user's own and are not checked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mlcube_remote.cube.host_paths import Layout, contains, normalize
from mlcube_remote.cube.model import Cube, Parameter, Task
from mlcube_remote.errors import PlanError
from mlcube_remote.platforms import CONTAINER_ENGINES

Allowed = Callable[[str], bool]
"""Returns whether a value of an option is allowed."""

Words = tuple[str, ...]


class MergedSettings(Protocol):
    """The settings of a platform from all sources."""

    @property
    def platform(self) -> str:
        """The platform."""

    @property
    def sections(self) -> Mapping[str, str]:
        """Key → section of mlcube.yaml, for keys whose value is from mlcube.yaml."""

    def get(self, key: str) -> Any:
        """Return a value."""

    def words(self, key: str) -> Words:
        """Return a value, split into words."""

    def options(self, keys: tuple[str, ...]) -> Words:
        """Return ``KEY=value`` for keys that start with ``--``."""

    def where(self, key: str) -> str:
        """Return the position and name of a key, for messages."""


HINT = "if you trust this cube, add --trust-cube"
"""The hint of each refusal."""


def _any(_: str) -> bool:
    return True


def _one_of(*values: str) -> Allowed:
    return lambda value: value in values


def _environment(value: str) -> bool:
    # NAME without a value passes a variable of the host.
    return "=" in value


_NETWORKS = _one_of("none", "bridge", "default", "private", "slirp4netns", "pasta")
_NO_NEW_PRIVILEGES = _one_of(
    "no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"
)
_NVIDIA_DEVICE = re.compile(r"nvidia\.com/gpu=[\w:.-]+").fullmatch

_RUN_OPTIONS: Mapping[str, Allowed | None] = {
    # option: the check of its value; None for a switch
    "--cap-drop": _any,
    "--cpu-shares": _any,
    "--cpus": _any,
    "--cpuset-cpus": _any,
    "--cpuset-mems": _any,
    "--device": lambda value: _NVIDIA_DEVICE(value) is not None,
    "--dns": _any,
    "--entrypoint": _any,
    "--env": _environment,
    "-e": _environment,
    "--gpus": _any,
    "--hostname": _any,
    "-h": _any,
    "--init": None,
    "--ipc": _one_of("none", "private", "shareable"),
    "--memory": _any,
    "-m": _any,
    "--memory-reservation": _any,
    "--memory-swap": _any,
    "--network": _NETWORKS,
    "--net": _NETWORKS,
    "--pids-limit": _any,
    "--platform": _any,
    "--pull": _any,
    "--read-only": None,
    "--rm": None,
    "--runtime": _one_of("nvidia", "runc", "crun"),
    "--security-opt": _NO_NEW_PRIVILEGES,
    "--shm-size": _any,
    "--stop-signal": _any,
    "--stop-timeout": _any,
    "--tmpfs": _any,
    "--ulimit": _any,
    "--user": _any,
    "-u": _any,
    "--userns": lambda value: value != "host" and not value.startswith(("container:", "ns:")),
    "--workdir": _any,
    "-w": _any,
}

_BUILD_OPTIONS: Mapping[str, Allowed | None] = {
    "--build-arg": _environment,
    "--force-rm": None,
    "--memory": _any,
    "-m": _any,
    "--network": _one_of("default", "none"),
    "--no-cache": None,
    "--platform": _any,
    "--progress": _any,
    "--pull": None,
    "--quiet": None,
    "-q": None,
    "--rm": None,
    "--shm-size": _any,
    "--target": _any,
    "--ulimit": _any,
}

_SIF_RUN_OPTIONS: Mapping[str, Allowed | None] = {
    "--cleanenv": None,
    "-e": None,
    "--compat": None,
    "--contain": None,
    "-c": None,
    "--containall": None,
    "-C": None,
    "--cpus": _any,
    "--cpuset-cpus": _any,
    "--cwd": _any,
    "--drop-caps": _any,
    "--env": _environment,
    "--fakeroot": None,
    "-f": None,
    "--hostname": _any,
    "--ipc": None,
    "-i": None,
    "--memory": _any,
    "--net": None,
    "-n": None,
    "--network": _one_of("none"),
    "--no-eval": None,
    "--no-home": None,
    "--no-mount": _any,
    "--no-privs": None,
    "--no-umask": None,
    "--nv": None,
    "--pid": None,
    "-p": None,
    "--pids-limit": _any,
    "--pwd": _any,
    "--rocm": None,
    "--security": _one_of(),
    "--userns": None,
    "-u": None,
    "--uts": None,
    "--vm-cpu": _any,
    "--vm-ram": _any,
    "--writable-tmpfs": None,
}

_SIF_BUILD_OPTIONS: Mapping[str, Allowed | None] = {
    "--build-arg": _environment,
    "--disable-cache": None,
    "--fakeroot": None,
    "-f": None,
    "--fix-perms": None,
    "--notest": None,
    "-T": None,
    "--nv": None,
    "--rocm": None,
}

_ENGINE_TABLES: Mapping[str, Mapping[str, Allowed | None]] = {
    "gpu_args": _RUN_OPTIONS,
    "cpu_args": _RUN_OPTIONS,
    "env_args": {"--env": _environment, "-e": _environment},
    "build_args": _BUILD_OPTIONS,
}
_SIF_TABLES: Mapping[str, Mapping[str, Allowed | None]] = {
    "run_args": _SIF_RUN_OPTIONS,
    "build_args": _SIF_BUILD_OPTIONS,
}

_ENGINES = frozenset({"docker", "nvidia-docker", "podman", "singularity", "apptainer"})

# A cube may not mount these directories, directories inside them, or directories that contain them.
_PROTECTED = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/run",
    "/var/spool",
    "~/.aws",
    "~/.bashrc",
    "~/.config",
    "~/.docker",
    "~/.gnupg",
    "~/.kube",
    "~/.local",
    "~/.mlcube-remote",
    "~/.profile",
    "~/.ssh",
)


def check_settings(settings: MergedSettings) -> None:
    """Refuse settings that a cube may not have.

    Args:
        settings: The merged settings; only values from mlcube.yaml are checked.

    Raises:
        PlanError: A setting is not allowed; the message names position and option.
    """
    is_engine = settings.platform in CONTAINER_ENGINES
    tables = _ENGINE_TABLES if is_engine else _SIF_TABLES
    for key in settings.sections:
        if key in tables:
            if not isinstance(settings.get(key), Mapping):
                _check_words(settings, key, settings.words(key), tables[key])
        elif key.startswith("--") and key not in {"--mount_opts", "--nv"}:
            options = _RUN_OPTIONS if is_engine else _SIF_RUN_OPTIONS
            _check_words(settings, key, settings.options((key,)), options)
        elif key == settings.platform:
            _check_engine(settings, settings.words(key))


def check_mounts(
    cube: Cube, task: Task, requested: Mapping[str, Parameter], layout: Layout
) -> None:
    """Refuse mounts of protected directories.

    Args:
        cube: The cube.
        task: Its task.
        requested: Directory → the parameter of mlcube.yaml that mounts it.
        layout: Where things are on the host.

    Raises:
        PlanError: A mount is not allowed; the message names parameter and directory.
    """
    for directory, parameter in requested.items():
        path = normalize(directory)
        if place := _protected_place(path, layout):
            where = cube.where_declared(task.name, parameter)
            raise PlanError(
                f"{where}: task {task.name}: {parameter.name} would mount {path}, which a cube may "
                f"not ask for (protected: {place})",
                hint=f"give {parameter.name}=PATH yourself, or, {HINT}",
            )


def check_context(settings: MergedSettings, context: str, layout: Layout) -> None:
    """Refuse a build from a protected directory, which the cube's Dockerfile could read.

    Raises:
        PlanError: The directory is not allowed; the message names position and directory.
    """
    if "build_context" not in settings.sections:
        return
    if place := _protected_place(context, layout):
        raise PlanError(
            f"{settings.where('build_context')}: a cube may not build from {context} "
            f"(protected: {place})",
            hint=f"give -P {settings.sections['build_context']}.build_context=PATH yourself, or, "
            f"{HINT}",
        )


def _protected_place(path: str, layout: Layout) -> str | None:
    """Return the protected place that a directory outside the cube is, contains or is inside."""
    if contains(layout.workspace, path) or contains(layout.root, path):
        return None
    for protected in _PROTECTED:
        place = protected.replace("~", layout.home, 1)
        if contains(place, layout.home):  # the home of root is /root
            continue
        if contains(path, place) or contains(place, path):
            return place
    return None


def _check_words(
    settings: MergedSettings, key: str, words: Words, allowed: Mapping[str, Allowed | None]
) -> None:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, value = _split(word)
        rule = allowed.get(option, _one_of())
        if rule is None:
            is_allowed = value is None or value in {"true", "false"}
        else:
            if value is None:
                value = rest.pop(0) if rest else ""
            is_allowed = option in allowed and rule(value)
        if not is_allowed:
            shown = word if option == word and value is None else f"{option} {value or ''}".strip()
            raise PlanError(f"{settings.where(key)}: a cube may not ask for '{shown}'", hint=HINT)


def _split(word: str) -> tuple[str, str | None]:
    """Split ``--option=value`` and ``-xvalue``; ``None``: the value is the next word."""
    if word.startswith("--"):
        option, equals, value = word.partition("=")
        return option, value if equals else None
    if word.startswith("-") and len(word) > 2:
        return word[:2], word[2:].removeprefix("=")
    return word, None


def _check_engine(settings: MergedSettings, words: Words) -> None:
    program = words[1:] if words[:1] == ("sudo",) else words
    if len(program) != 1 or program[0] not in _ENGINES:
        raise PlanError(
            f"{settings.where(settings.platform)}: a cube may name {', '.join(sorted(_ENGINES))}, "
            f"with or without sudo; got '{' '.join(words)}'",
            hint=f"set it in hosts.yaml or with -P, or, {HINT}",
        )
