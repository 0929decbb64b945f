# SPDX-License-Identifier: Apache-2.0
"""What an ``mlcube.yaml`` may ask of an engine without its user's consent.

A cube is a stranger's file. It may shape its container; it may not reach out of it: no
privileges, no host namespaces, devices, mounts or sockets. What is known to be harmless is
allowed, everything else waits for ``--trust-cube``. The inventory, ``-P`` and the command line are
the user's own word and are never checked here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping

from mlcube_remote.commands.model import Argv, Layout
from mlcube_remote.commands.mounts import Bindings
from mlcube_remote.commands.settings import Settings
from mlcube_remote.cube.host_paths import holds
from mlcube_remote.cube.model import IO, Task
from mlcube_remote.errors import PlanError
from mlcube_remote.platforms import CONTAINER_ENGINES

Allowed = Callable[[str], bool]

_HINT = "if you trust this cube, add --trust-cube"


def _any(_: str) -> bool:
    return True


def _one_of(*values: str) -> Allowed:
    return lambda value: value in values


def _environment(value: str) -> bool:
    # A bare NAME would hand over a variable of the host.
    return "=" in value


_NETWORKS = _one_of("none", "bridge", "default", "private", "slirp4netns", "pasta")
_NO_NEW_PRIVILEGES = _one_of(
    "no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"
)
_NVIDIA_DEVICE = re.compile(r"nvidia\.com/gpu=[\w:.-]+").fullmatch

_RUN_OPTIONS: Mapping[str, Allowed | None] = {
    # option: what its value may be; None for a switch
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

# What a directory must not be, hold or lie in, to be mounted because a cube says so.
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


def check_settings(settings: Settings) -> None:
    """Refuse what the cube's own settings may not ask for.

    Args:
        settings: The merged settings; only keys that the cube has the last word on are checked.

    Raises:
        PlanError: Names the position, the option and the flag that allows it.
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


def check_mounts(settings: Settings, task: Task, bindings: Bindings, layout: Layout) -> None:
    """Refuse mounts of the host's own directories that the cube's defaults ask for.

    Raises:
        PlanError: Names the parameter and the directory.
    """
    for directory, parameter in bindings.from_cube.items():
        path = posixpath.normpath(directory)
        if place := _touched(path, layout):
            group = "inputs" if parameter.io is IO.INPUT else "outputs"
            where = settings.cube.where("tasks", task.name, "parameters", group, parameter.name)
            raise PlanError(
                f"{where}: task {task.name}: {parameter.name} would mount {path}, which a "
                f"cube may not ask for (it touches {place})",
                hint=f"give {parameter.name}=PATH yourself, or, {_HINT}",
            )


def check_context(settings: Settings, context: str, layout: Layout) -> None:
    """Refuse to hand a host's own directory to a build, where the cube's Dockerfile could read it.

    Raises:
        PlanError: Names the position and the directory.
    """
    if "build_context" not in settings.sections:
        return
    if place := _touched(context, layout):
        raise PlanError(
            f"{settings.where('build_context')}: a cube may not build from {context} on its own "
            f"(it touches {place})",
            hint=f"give -P {settings.sections['build_context']}.build_context=PATH yourself, or, "
            f"{_HINT}",
        )


def _touched(path: str, layout: Layout) -> str | None:
    """Return the protected place that a directory outside the cube is, holds or lies in."""
    if holds(layout.workspace, path) or holds(layout.root, path):
        return None
    for protected in _PROTECTED:
        place = protected.replace("~", layout.home, 1)
        if holds(place, layout.home):  # root's own home is /root
            continue
        if holds(path, place) or holds(place, path):
            return place
    return None


def _check_words(
    settings: Settings, key: str, words: Argv, allowed: Mapping[str, Allowed | None]
) -> None:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, value = _split(word)
        rule = allowed.get(option, _one_of())
        if rule is None:
            good = value is None or value in {"true", "false"}
        else:
            if value is None:
                value = rest.pop(0) if rest else ""
            good = option in allowed and rule(value)
        if not good:
            shown = word if option == word and value is None else f"{option} {value or ''}".strip()
            raise PlanError(
                f"{settings.where(key)}: a cube may not ask for '{shown}' on its own", hint=_HINT
            )


def _split(word: str) -> tuple[str, str | None]:
    """Split ``--option=value`` and ``-xvalue``; the value is ``None`` where the next word is it."""
    if word.startswith("--"):
        option, equals, value = word.partition("=")
        return option, value if equals else None
    if word.startswith("-") and len(word) > 2:
        return word[:2], word[2:].removeprefix("=")
    return word, None


def _check_engine(settings: Settings, words: Argv) -> None:
    program = words[1:] if words[:1] == ("sudo",) else words
    if len(program) != 1 or program[0] not in _ENGINES:
        raise PlanError(
            f"{settings.where(settings.platform)}: a cube may name {', '.join(sorted(_ENGINES))}, "
            f"with sudo in front or not; got '{' '.join(words)}'",
            hint=f"set it in hosts.yaml or with -P, or, {_HINT}",
        )
