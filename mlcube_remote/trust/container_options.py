# SPDX-License-Identifier: Apache-2.0
"""The options that a cube may give to its container engine without the user's trust.

An ``mlcube.yaml`` may be from a person that the user does not know. It may configure its container,
but not reach out of it: no privileges, no host namespaces, devices, mounts or sockets. Options that
are known to be harmless are allowed; the user must allow all others.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Allowed = Callable[[str], bool]
"""Returns whether a value of an option is allowed."""


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
    "--no-mount": lambda value: "tmp" in value.split(","),  # it replaces that of private_variables
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
    # A line break in a value could start a section of the recipe.
    "--build-arg": lambda value: _environment(value) and "\n" not in value,
    "--disable-cache": None,
    "--fakeroot": None,
    "-f": None,
    "--fix-perms": None,
    "--notest": None,
    "-T": None,
    "--nv": None,
    "--rocm": None,
}

_SIF_SECTIONS = frozenset({"singularity", "apptainer"})

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
_HARMLESS_KEYS = frozenset({"--mount_opts", "--nv"})


def unlisted_options(section: str, key: str, value: Any) -> Iterator[str]:
    """Yield each option in a setting of the cube that is not known to be harmless.

    Args:
        section: The section of mlcube.yaml: a platform.
        key: The setting, such as ``gpu_args``.
        value: Its value in mlcube.yaml.
    """
    tables = _SIF_TABLES if section in _SIF_SECTIONS else _ENGINE_TABLES
    if key in tables or key in _SIF_TABLES:
        if not isinstance(value, Mapping):
            yield from _unlisted_words(_words(value), {**_SIF_TABLES, **tables}[key])
    elif key.startswith("--") and key not in _HARMLESS_KEYS:
        if value is not None:
            options = _SIF_RUN_OPTIONS if section in _SIF_SECTIONS else _RUN_OPTIONS
            yield from _unlisted_words((f"{key}={value}",), options)
    elif key == "private_home" and value is False:
        yield "the home, /tmp and working directory of the host's user, writable"
    elif key == section and not _is_engine(_words(value)):
        yield f"the program {value}"


def _words(value: Any) -> Sequence[str]:
    text = str(value or "")
    try:
        return shlex.split(text)
    except ValueError:  # an unbalanced quotation mark, which no platform accepts
        return (text,)


def _unlisted_words(words: Sequence[str], allowed: Mapping[str, Allowed | None]) -> Iterator[str]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, value = _split(word)
        rule = allowed.get(option, _one_of())
        if rule is None:
            is_allowed = value is None or value in {"true", "false"}
        else:
            is_next = value is None
            if value is None:
                value = rest.pop(0) if rest else ""
            # An engine that takes no value here would read an option.
            is_option = is_next and value.startswith("-") and not value[1:].isdecimal()
            is_allowed = option in allowed and rule(value) and not is_option
        if not is_allowed:
            yield word if option == word and value is None else f"{option} {value or ''}".strip()


def _split(word: str) -> tuple[str, str | None]:
    """Split ``--option=value`` and ``-xvalue``; ``None``: the value is the next word."""
    if word.startswith("--"):
        option, equals, value = word.partition("=")
        return option, value if equals else None
    if word.startswith("-") and len(word) > 2:
        return word[:2], word[2:].removeprefix("=")
    return word, None


def _is_engine(words: Sequence[str]) -> bool:
    program = words[1:] if words[:1] == ["sudo"] else words
    return len(program) == 1 and program[0] in _ENGINES
