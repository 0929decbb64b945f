# SPDX-License-Identifier: Apache-2.0
"""What engines say when they start nothing: found among a task's output, and tied to a setting."""

from __future__ import annotations

import re

from mlcube_remote.errors import HostUnfitError
from mlcube_remote.platforms import CONTAINER_ENGINES

_NOISE = re.compile(r"^(See '|Run '|time=|\s*$)")
_PREFIX = re.compile(r"^(docker: |Error: |Error response from daemon: |FATAL: +)+")
_OF_SIF = re.compile(r'^(FATAL: |Error for command "\w+": )')
"""How Singularity and Apptainer begin their own last line, which no task is likely to write."""

_NO_PROGRAM = {126, 127}
"""Statuses of an engine that found no program to run, or none that can be run."""

_DEVICES = re.compile(r"gpu|nvidia|\bCDI\b|select device driver", re.IGNORECASE)

_SETTINGS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        _DEVICES,
        "--gpus (or platform.accelerator_count)",
        "run it without devices (--gpus=0), or have the NVIDIA Container Toolkit installed there",
    ),
    (
        re.compile(r"cgroup|memory|requested cpus|cpuset", re.IGNORECASE),
        "--memory or --cpu",
        "give another limit, or none",
    ),
    (re.compile(r"network", re.IGNORECASE), "--network", "name a network that is there, or none"),
    (
        re.compile(r"security-opt|seccomp|apparmor|selinux", re.IGNORECASE),
        "--security",
        "give an option that the engine there knows, or none",
    ),
)


def words_of_engine(platform: str, code: int, tail: str) -> str:
    """Return why the engine started nothing, in its own words; empty where it does not say.

    Args:
        platform: The task's.
        code: What the engine's program ended with.
        tail: The end of the standard error of engine and task, which share it.
    """
    lines = [line.rstrip() for line in tail.splitlines() if not _NOISE.match(line)]
    if platform not in CONTAINER_ENGINES:
        if code not in {1, 255}:
            return ""
        lines = [line for line in lines[-1:] if _OF_SIF.match(line)]
    return _PREFIX.sub("", lines[-1]) if lines else ""


def is_of_the_cube(platform: str, code: int, said: str) -> bool:
    """Whether what was refused is the program to run, rather than anything that was asked for."""
    if platform in CONTAINER_ENGINES:
        return code in _NO_PROGRAM and not _DEVICES.search(said)
    return not said.startswith("container creation failed") and _setting(said) is None


def refused(host: str, platform: str, task: str, code: int, said: str) -> HostUnfitError:
    """Return the error for an engine that started nothing; it names the setting where it can."""
    if found := _setting(said):
        setting, hint = found
        return HostUnfitError(
            host, f"{platform} cannot honour {setting} for task {task}: {said}", hint=hint
        )
    return HostUnfitError(
        host,
        f"{platform} could not start the container of task {task} (status {code})"
        + (f": {said}" if said else ""),
        hint=None if said else "the engine's own message stands above",
    )


def _setting(said: str) -> tuple[str, str] | None:
    """Return the setting that an engine's words are about, and what to do about it."""
    return next(
        ((setting, hint) for pattern, setting, hint in _SETTINGS if pattern.search(said)), None
    )
