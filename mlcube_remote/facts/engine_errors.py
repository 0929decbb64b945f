# SPDX-License-Identifier: Apache-2.0
"""Turn the messages of container engines into errors that name the setting and the fix."""

from __future__ import annotations

import posixpath
import re

from mlcube_remote.commands.sif import PROGRAMS
from mlcube_remote.errors import HostUnfitError
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.remote import status
from mlcube_remote.transport.base import Connection, Reply

_NOISE = re.compile(r"^(See '|Run '|time=|\s*$)")
_PREFIX = re.compile(r"^(docker: |Error: |Error response from daemon: |FATAL: +)+")
_OF_SIF = re.compile(r'^(FATAL: |Error for command "\w+": )')
"""Start of the last line of Singularity and Apptainer; a task is unlikely to write it."""

_NO_PROGRAM = {126, 127}
"""Exit codes of an engine that did not find the program, or could not execute it."""

_ADDRESS = re.compile(r"\b(?:unix|tcp|ssh|fd|npipe)://\S*[\w/]")
"""The address in Docker's message that it cannot be reached."""

_NO_CONTEXT = re.compile(r"context .*(not found|does not exist)")

_USER_SOCKET = re.compile(r"unix:///run/user/\d+/docker\.sock")
"""Where a rootless Docker listens."""

_SYSTEM_SOCKETS = {"unix:///var/run/docker.sock", "unix:///run/docker.sock"}

_SERVICE_COMMANDS = {
    "systemd": "systemctl {0} docker",
    "openrc": "rc-service docker {0}",
    "service": "service docker {0}",
}
"""What starts services → the command for Docker; for ``start``, root runs it."""

_DEVICES = re.compile(r"gpu|nvidia|\bCDI\b|select device driver", re.IGNORECASE)

_SETTINGS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        _DEVICES,
        "--gpus (or platform.accelerator_count)",
        "run without GPUs (--gpus=0), or install the NVIDIA Container Toolkit on the host",
    ),
    (
        re.compile(r"\bproc->/proc\b|pid namespace", re.IGNORECASE),
        "--pid (processes of its own)",
        (
            "if you trust the cube with your files on the host, set "
            "PLATFORM: {private_home: false} in the inventory"
        ),
    ),
    (
        re.compile(r"cgroup|memory|requested cpus|cpuset", re.IGNORECASE),
        "--memory or --cpu",
        "use another limit, or omit it",
    ),
    (
        re.compile(r"network", re.IGNORECASE),
        "--network",
        "use a network that exists on the host, or omit it",
    ),
    (
        re.compile(r"security-opt|seccomp|apparmor|selinux", re.IGNORECASE),
        "--security",
        "use an option that the host's engine supports, or omit it",
    ),
)


def extract_engine_error(platform: str, code: int, tail: str) -> str:
    """Return the engine's own message why it did not start the task; empty if there is none.

    Args:
        platform: The task's platform.
        code: Exit code of the engine's program.
        tail: The end of standard error, which the engine and the task share.
    """
    lines = [line.rstrip() for line in tail.splitlines() if not _NOISE.match(line)]
    if platform not in CONTAINER_ENGINES:
        if code not in {1, 255}:
            return ""
        lines = [line for line in lines[-1:] if _OF_SIF.match(line)]
    return _PREFIX.sub("", lines[-1]) if lines else ""


def is_cube_fault(platform: str, code: int, message: str) -> bool:
    """Return whether the engine refused the cube's program, rather than a setting or the host."""
    if platform in CONTAINER_ENGINES:
        return code in _NO_PROGRAM and not _DEVICES.search(message)
    return not message.startswith("container creation failed") and _setting(message) is None


def engine_start_error(
    host: str, platform: str, task: str, code: int, message: str
) -> HostUnfitError:
    """Return the error for an engine that started no container; it names the setting if known."""
    if found := _setting(message):
        setting, hint = found
        return HostUnfitError(
            host,
            f"{platform} cannot apply {setting} to task {task}: {message}",
            hint=hint.replace("PLATFORM", platform),
        )
    return HostUnfitError(
        host,
        f"{platform} could not start the container of task {task} (status {code})"
        + (f": {message}" if message else ""),
        hint=None if message else "see the engine's message in the output above",
    )


def _setting(message: str) -> tuple[str, str] | None:
    """Return the setting that an engine's message is about, and the hint for it."""
    return next(
        ((setting, hint) for pattern, setting, hint in _SETTINGS if pattern.search(message)), None
    )


def missing_program_error(host: str, platform: str) -> HostUnfitError:
    """Return the error for a host that has neither Singularity nor Apptainer."""
    return HostUnfitError(
        host,
        f"neither {' nor '.join(PROGRAMS[platform])} was found",
        hint=f"install one on {host}, or set {platform}: {{{platform}: PATH}} in the inventory",
    )


def engine_error(
    connection: Connection, platform: str, engine: tuple[str, ...], reply: Reply
) -> HostUnfitError:
    """Return the error for an engine that is missing, refuses this user, or does not run."""
    host, name = connection.name, " ".join(engine)
    message = reply.message
    first = message.splitlines()[0]
    lowered = message.lower()
    is_docker = platform == "docker" and posixpath.basename(engine[-1]) != "podman"
    hint: str | None
    if reply.code == status.NO_PROGRAM:
        reason = f"{engine[0]} was not found"
        hint = f"install it on {host}, or set {platform}: {{{platform}: PATH}} in the inventory"
    elif reply.code == status.TIMED_OUT:
        reason = f"{name} did not answer within 30 s"
        command = _service_command(connection, "status", engine) if is_docker else ""
        hint = f"on {host}: {command or f'{name} version'}"
    elif "sudo" in engine and ("password" in lowered or "terminal" in lowered):
        reason = f"{name} asks for a password: {first}"
        alternative = ", or join the docker group" if is_docker else ""
        hint = f"on {host}: allow it without a password (sudoers, NOPASSWD){alternative}"
    elif not is_docker:
        # Without a daemon, warnings come first; the line with the reason starts with "Error".
        line = next((line for line in message.splitlines() if line.startswith("Error")), first)
        reason, hint = f"{name} cannot be used: {line}", f"try it on {host}: {name} version"
    elif "permission denied" in lowered:
        return _socket_error(connection, name, first)
    elif "cannot connect" in lowered or "daemon running" in lowered:
        reason, hint = f"cannot connect to {name}: {first}", _start_hint(connection, first)
    elif _NO_CONTEXT.search(message):
        reason, hint = f"{name} cannot be used: {first}", f"on {host}: docker context ls"
    else:
        reason, hint = f"{name} cannot be used: {first}", f"try it on {host}: {name} version"
    return HostUnfitError(host, reason, hint=hint)


def _start_hint(connection: Connection, message: str) -> str:
    """Return the hint for a Docker that cannot be reached at the address in its message."""
    host = connection.name
    found = _ADDRESS.search(message)
    address = found[0] if found else ""
    if _USER_SOCKET.fullmatch(address):
        return f"on {host}: systemctl --user start docker"
    if address and address not in _SYSTEM_SOCKETS:
        return (
            f"nothing answers at {address} on {host}: start what should, or name another address "
            f"in the inventory: docker: {{docker: docker --host=ADDRESS}}"
        )
    rootless = dict(connection.call("mlcr_describe_docker").records()).get("rootless")
    if rootless:
        return (
            f"{host} has a rootless Docker; set in the inventory: "
            f"docker: {{docker: docker --host=unix://{rootless}}}; "
            f"if it does not run, on {host}: systemctl --user start docker"
        )
    command = _service_command(connection, "start", ())
    return f"on {host}: {command}" if command else f"start dockerd on {host}, as root"


def _service_command(connection: Connection, verb: str, engine: tuple[str, ...]) -> str:
    """Return the command that starts Docker, or shows its status; empty if it is not known."""
    facts = dict(connection.call("mlcr_describe_docker").records())
    if facts.get("rootless") and any("/run/user/" in w or "rootless" in w for w in engine):
        return f"systemctl --user {verb} docker"
    command = _SERVICE_COMMANDS.get(facts.get("init", ""), "").format(verb)
    is_root = facts.get("uid") == "0"
    return command if is_root or verb == "status" or not command else f"sudo {command}"


def _socket_error(connection: Connection, name: str, first: str) -> HostUnfitError:
    """Return the error for a user who may not use Docker's socket; it names the socket's group."""
    listing = connection.call("mlcr_print_socket_access").text.strip().splitlines()
    owner = re.match(
        r"s\S+ +\d+ +\S+ +(?!root )([a-z_][a-z0-9_-]*) ", listing[0] if listing else ""
    )
    group = owner[1] if owner else "docker"
    return HostUnfitError(
        connection.name,
        f"no permission to use {name}: {'; '.join(listing) or first}",
        hint=f"on {connection.name}: sudo usermod -aG {group} $USER, then log in again "
        f"(or set docker: {{docker: sudo docker}} in the inventory)",
    )
