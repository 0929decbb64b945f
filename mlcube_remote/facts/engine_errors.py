# SPDX-License-Identifier: Apache-2.0
"""What engines say when they start nothing: found among a task's output, and tied to a setting."""

from __future__ import annotations

import posixpath
import re

from mlcube_remote.commands.sif import PROGRAMS
from mlcube_remote.errors import HostUnfitError
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.transport.base import Connection, Reply

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


def extract_engine_error(platform: str, code: int, tail: str) -> str:
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


def is_cube_fault(platform: str, code: int, said: str) -> bool:
    """Whether what was refused is the program to run, rather than anything that was asked for."""
    if platform in CONTAINER_ENGINES:
        return code in _NO_PROGRAM and not _DEVICES.search(said)
    return not said.startswith("container creation failed") and _setting(said) is None


def engine_start_error(host: str, platform: str, task: str, code: int, said: str) -> HostUnfitError:
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


def missing_program_error(host: str, platform: str) -> HostUnfitError:
    """Return the error for a host that has neither Singularity nor Apptainer."""
    return HostUnfitError(
        host,
        f"neither {' nor '.join(PROGRAMS[platform])} was found there",
        hint=f"install one on {host}, or set {platform}: {{{platform}: PATH}} in the inventory",
    )


def engine_error(
    connection: Connection, platform: str, engine: tuple[str, ...], reply: Reply
) -> HostUnfitError:
    """Say why an engine cannot be used, telling "missing", "no permission" and "not running"."""
    host = connection.name
    name = " ".join(engine)
    said = reply.stderr.decode("utf-8", "replace").strip()
    first = said.splitlines()[0] if said else f"status {reply.code}"
    if reply.code == 127:
        return HostUnfitError(
            host,
            f"{engine[0]} was not found there",
            hint=f"install it on {host}, or set {platform}: {{{platform}: PATH}} in the inventory",
        )
    is_docker = platform == "docker" and posixpath.basename(engine[-1]) != "podman"
    if reply.code == 124:
        look = "systemctl status docker" if is_docker else f"{name} version"
        return HostUnfitError(host, f"{name} did not answer within 30 s", hint=f"on {host}: {look}")
    if "sudo" in engine and ("password" in said.lower() or "terminal" in said.lower()):
        joining = ", or join the docker group" if is_docker else ""
        return HostUnfitError(
            host,
            f"{name} asks for a password there: {first}",
            hint=f"on {host}: allow it without one (sudoers, NOPASSWD){joining}",
        )
    if not is_docker:
        # There is no daemon, socket or group: warnings come first, and then what is wrong.
        told = next((line for line in said.splitlines() if line.startswith("Error")), first)
        return HostUnfitError(
            host, f"{name} cannot be used: {told}", hint=f"try it on {host}: {name} version"
        )
    if "permission denied" in said.lower():
        about = connection.call("mlcr_socket").text.strip().splitlines()
        owner = re.match(
            r"s\S+ +\d+ +\S+ +(?!root )([a-z_][a-z0-9_-]*) ", about[0] if about else ""
        )
        group = owner[1] if owner else "docker"
        return HostUnfitError(
            host,
            f"you may not use {name} there: {'; '.join(about) or first}",
            hint=f"on {host}: sudo usermod -aG {group} $USER, then log in again "
            f"(or set docker: {{docker: sudo docker}} in the inventory)",
        )
    if "cannot connect" in said.lower() or "daemon running" in said.lower():
        return HostUnfitError(
            host,
            f"cannot talk to {name}: {first}",
            hint=f"on {host}: sudo systemctl start docker",
        )
    return HostUnfitError(host, f"{name} cannot be used: {first}")
