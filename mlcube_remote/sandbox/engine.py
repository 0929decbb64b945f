# SPDX-License-Identifier: Apache-2.0
"""The Docker engine of this machine, through its command-line client.

Each call is an argv list with a time limit; a failure raises :class:`SandboxError` with the
engine's message.
"""

from __future__ import annotations

import re
import secrets
import subprocess
from importlib import resources
from typing import ClassVar

from mlcube_remote.errors import MLCubeRemoteError

BASE_IMAGE = "debian:bookworm-slim"
"""The base image of sandbox hosts and example cubes."""

_TIMEOUT_S = 600.0
_PORT_TAKEN = re.compile(r"address already in use|port is already allocated")
_MAX_PORT_TRIES = 10
PORTS = range(20000, 32768)
"""Ports above those of most services, and below those that Linux uses for outgoing connections."""


class SandboxError(MLCubeRemoteError):
    """The sandbox could not be started, inspected or removed."""

    exit_code: ClassVar[int] = 122


def docker(*arguments: str, stdin: bytes | None = None, timeout: float = _TIMEOUT_S) -> str:
    """Run ``docker ARGUMENTS`` and return its output, without the last newline.

    Args:
        arguments: Words of the command line; spaces do not split them.
        stdin: Bytes for its standard input.
        timeout: Time limit in seconds.

    Raises:
        SandboxError: The client is not installed, the engine refused, or the time is over.
    """
    try:
        done = subprocess.run(
            ["docker", *arguments], input=stdin, capture_output=True, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise SandboxError("no docker program on PATH", hint=engine_hint()) from None
    except subprocess.TimeoutExpired:
        raise SandboxError(
            f"docker {arguments[0]} gave no answer in {timeout:g} s", hint="docker info"
        ) from None
    if done.returncode != 0:
        output = (done.stderr or done.stdout).decode(errors="replace")
        hint = engine_hint() if "docker daemon" in output.lower() else None
        reason = _find_reason(output) or f"exit code {done.returncode}"
        raise SandboxError(f"docker {arguments[0]}: {reason}", hint=hint)
    return done.stdout.decode(errors="replace").rstrip("\n")


def start_container(name: str, port: int, *words: str) -> str:
    """Start a container in the background and return its id.

    *port* of the container is published on a random port of this machine's loopback address. The
    engine itself would choose from the range from which the system takes ports for outgoing
    connections; on a busy machine many in a row are taken.

    Args:
        name: Name of the container.
        port: TCP port in the container.
        words: Further options of ``docker run``, then the image.

    Raises:
        SandboxError: The engine refused, or the port was taken each time.
    """
    for tries_left in reversed(range(_MAX_PORT_TRIES)):
        publish = f"127.0.0.1:{secrets.choice(PORTS)}:{port}"
        try:
            return docker("run", "--detach", "--name", name, "--publish", publish, *words)
        except SandboxError as error:
            if not (tries_left and _PORT_TAKEN.search(str(error))):
                raise
            docker("rm", "--force", "--volumes", name)
    raise AssertionError("the last try returns or raises")


def _find_reason(output: str) -> str:
    """Return the last line, except the client's advice to read its help."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reasons = [line for line in lines if not line.endswith("--help' for more information")]
    return (reasons or lines or [""])[-1]


def engine_hint() -> str:
    """Return the command that installs and starts an engine on this machine."""
    return f"sh {_script('ensure_engine.sh')}"


def ensure_base_image() -> None:
    """Make sure that the engine has :data:`BASE_IMAGE`: pull it, or else build it from packages.

    Raises:
        SandboxError: No registry answers, and the image cannot be built on this machine.
    """
    if is_present(BASE_IMAGE):
        return
    try:
        # The engine stops waiting for a silent registry within seconds, but not for a slow one.
        docker("pull", "--quiet", BASE_IMAGE)
    except SandboxError:
        _bootstrap(BASE_IMAGE)


def is_present(image: str) -> bool:
    """Return whether the engine has *image*.

    Raises:
        SandboxError: The engine does not answer.
    """
    return bool(docker("image", "ls", "--quiet", image))


def wait_for_inner_engine(container: str, timeout: float = 60.0) -> None:
    """Wait until the engine inside *container* answers, and load :data:`BASE_IMAGE` into it.

    Raises:
        SandboxError: It did not answer within *timeout* seconds; with the engine's message.
    """
    image = subprocess.run(["docker", "save", BASE_IMAGE], capture_output=True, check=False).stdout
    docker("exec", "--interactive", container, "sandbox-load", stdin=image, timeout=timeout)


def _bootstrap(image: str) -> None:
    script = _script("bootstrap_image.sh")
    done = subprocess.run(
        ["sh", script, image], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise SandboxError(lines[-1], hint=f"sudo sh {script} {image}")


def _script(name: str) -> str:
    return str(resources.files("mlcube_remote.sandbox") / name)
