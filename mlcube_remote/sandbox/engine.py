# SPDX-License-Identifier: Apache-2.0
"""The Docker engine of this machine, by its command-line client.

Every call is an argv list and ends, or is ended after its time; what goes wrong is a
:class:`SandboxError` that carries the engine's own words.
"""

from __future__ import annotations

import re
import subprocess
from importlib import resources
from typing import ClassVar

from mlcube_remote.errors import MLCubeRemoteError

BASE_IMAGE = "debian:bookworm-slim"
"""What sandbox hosts and the example cubes are built from."""

_PATIENCE = 600.0
_PORT_TAKEN = re.compile(r"address already in use|port is already allocated")
_PORT_TRIES = 5


class SandboxError(MLCubeRemoteError):
    """The sandbox could not be started, asked or removed."""

    exit_code: ClassVar[int] = 122


def docker(*arguments: str, stdin: bytes | None = None, timeout: float = _PATIENCE) -> str:
    """Run ``docker ARGUMENTS`` and return what it printed, without the last newline.

    Args:
        arguments: Words of the command line, each kept whole.
        stdin: Bytes to feed.
        timeout: Seconds until the call is given up.

    Raises:
        SandboxError: There is no client, the engine refused, or the time is over.
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
        words = (done.stderr or done.stdout).decode(errors="replace")
        hint = engine_hint() if "docker daemon" in words.lower() else None
        reason = _reason(words) or f"exit code {done.returncode}"
        raise SandboxError(f"docker {arguments[0]}: {reason}", hint=hint)
    return done.stdout.decode(errors="replace").rstrip("\n")


def start(name: str, *words: str) -> str:
    """Start a container in the background and return its id.

    The engine chooses a free port before it listens there, and another program may be quicker.

    Raises:
        SandboxError: The engine refused, or met a port that was taken again and again.
    """
    for tries_left in reversed(range(_PORT_TRIES)):
        try:
            return docker("run", "--detach", "--name", name, *words)
        except SandboxError as error:
            if not (tries_left and _PORT_TAKEN.search(str(error))):
                raise
            docker("rm", "--force", "--volumes", name)
    raise AssertionError("the last try returns or raises")


def _reason(words: str) -> str:
    """Return the line that says why: the last, but for the client's advice to read its help."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    told = [line for line in lines if not line.endswith("--help' for more information")]
    return (told or lines or [""])[-1]


def engine_hint() -> str:
    """Return the command that leaves this machine with an engine."""
    return f"sh {_script('ensure_engine.sh')}"


def ensure_base_image() -> None:
    """Make sure that :data:`BASE_IMAGE` is here: present, else pulled, else made of packages.

    Raises:
        SandboxError: No registry answers and the image cannot be made here either.
    """
    if is_present(BASE_IMAGE):
        return
    try:
        # The engine itself gives a silent registry up within seconds; a slow one is waited for.
        docker("pull", "--quiet", BASE_IMAGE)
    except SandboxError:
        _bootstrap(BASE_IMAGE)


def is_present(image: str) -> bool:
    """Return whether the engine has *image*.

    Raises:
        SandboxError: The engine does not answer.
    """
    return bool(docker("image", "ls", "--quiet", image))


def wait_for_inner_engine(container: str, patience: float = 60.0) -> None:
    """Return once the engine inside *container* answers and has :data:`BASE_IMAGE`.

    Raises:
        SandboxError: It does not within *patience* seconds; in the engine's own words.
    """
    image = subprocess.run(["docker", "save", BASE_IMAGE], capture_output=True, check=False).stdout
    docker("exec", "--interactive", container, "sandbox-load", stdin=image, timeout=patience)


def _bootstrap(image: str) -> None:
    script = _script("bootstrap_image.sh")
    done = subprocess.run(
        ["sh", script, image], capture_output=True, text=True, check=False, timeout=_PATIENCE
    )
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise SandboxError(words[-1], hint=f"sudo sh {script} {image}")


def _script(name: str) -> str:
    return str(resources.files("mlcube_remote.sandbox") / name)
