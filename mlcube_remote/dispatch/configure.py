# SPDX-License-Identifier: Apache-2.0
"""Making sure that a host has the image: pull or build, as the command builder says."""

from __future__ import annotations

import collections
import random
import re
import time

from mlcube_remote.commands.model import Argv, ImageCommands
from mlcube_remote.dispatch.events import Level, Stage
from mlcube_remote.dispatch.journal import Journal
from mlcube_remote.dispatch.paths import HostPaths
from mlcube_remote.dispatch.preflight import sif_arguments
from mlcube_remote.errors import ConfigureError
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.transport.base import Connection, Stream
from mlcube_remote.transport.quoting import quote_words

ATTEMPTS = 3
"""How often a pull is tried when the registry or the way to it stumbles."""

_PASSING = re.compile(
    r"toomanyrequests|TLS handshake timeout|i/o timeout|connection reset|connection refused"
    r"|unexpected EOF|temporarily unavailable|503 |502 |timeout exceeded",
    re.IGNORECASE,
)

_TAIL = 15
"""Lines of a failed build that its error repeats."""


def configure(
    connection: Connection, journal: Journal, paths: HostPaths, commands: ImageCommands
) -> None:
    """Run the configure commands of a cube, passing their output on.

    A SIF file is built under another name and put in place when it is whole; of several clients
    that want it at once one builds it, and the others wait.

    Args:
        connection: The host.
        journal: Told what the engine says.
        paths: The job's paths.
        commands: As built; each of ``commands.configure`` is run in the cube's directory.

    Raises:
        ConfigureError: One of them failed; its last lines are in the message.
    """
    if not commands.configure:
        raise ConfigureError(
            connection.name,
            f"{commands.platform}.image: {commands.image} is not there, and there is no recipe to "
            f"make it from ({commands.platform}.build_file: {commands.source})",
            hint="copy the image there, or give the cube a recipe (see docs/platforms.md)",
        )
    if commands.configure_directories:
        connection.call("mlcr_prepare", "0", *commands.configure_directories)
    for argv in commands.configure:
        _attempt(connection, journal, paths, commands, argv)


def _attempt(
    connection: Connection,
    journal: Journal,
    paths: HostPaths,
    commands: ImageCommands,
    argv: Argv,
) -> None:
    journal.note(Level.DEBUG, f"configure: {quote_words(argv)}")
    for attempt in range(1, ATTEMPTS + 1):
        code, tail = _run(connection, journal, _call(paths, commands, argv))
        if code == 0:
            return
        said = [line for line in tail if line.strip()]
        pulling = "pull" in argv[: len(commands.engine) + 1] or "://" in commands.source
        passing = any(_PASSING.search(line) for line in said)
        if not (pulling and passing and attempt < ATTEMPTS):
            raise _failure(connection.name, commands, argv, code, said)
        pause = 2.0**attempt * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret
        journal.note(
            Level.WARNING, f"no image yet ({said[-1].strip()}); trying again in {pause:.0f} s"
        )
        time.sleep(pause)


def _call(paths: HostPaths, commands: ImageCommands, argv: Argv) -> Argv:
    """Return the function to call on the host, and its arguments."""
    if commands.platform in CONTAINER_ENGINES:
        return ("mlcr_attended", "mlcr_in", paths.cube, *argv)
    return ("mlcr_attended", "mlcr_build_sif", paths.root, *sif_arguments(commands, paths))


def _run(connection: Connection, journal: Journal, call: Argv) -> tuple[int, list[str]]:
    tail: collections.deque[bytes] = collections.deque(maxlen=256)
    pass_on = journal.output(Stage.CONFIGURE, None)

    def keep(stream: Stream, data: bytes) -> None:
        tail.append(data[-4096:])
        pass_on(stream, data)

    code = connection.stream(*call, sink=keep)
    text = b"".join(tail).decode("utf-8", "replace").replace("\r", "\n")
    return code, text.splitlines()[-_TAIL:]


def _failure(
    host: str, commands: ImageCommands, argv: Argv, code: int, said: list[str]
) -> ConfigureError:
    platform = commands.platform
    verb = argv[len(commands.engine)] if len(argv) > len(commands.engine) else argv[-1]
    setting = "image" if verb == "pull" else "build_file"
    lowered = "\n".join(said).lower()
    hint = None
    if "pull access denied" in lowered or "unauthorized" in lowered or "denied:" in lowered:
        hint = f"on {host}: log in to the registry ({' '.join(commands.engine)} login), or check "
        hint += f"{platform}.{setting}"
    elif verb == "pull" and ("not found" in lowered or "manifest unknown" in lowered):
        hint = f"check {platform}.image, or let the host build it: -P{platform}.build_strategy=auto"
    if verb == "pull" and commands.source:
        hint = f"there is no recipe to build it from: {platform}.build_file: {commands.source}"
    return ConfigureError(
        host,
        f"{platform}.{setting}: {verb} of image {commands.image} failed (status {code})",
        output=[line.rstrip() for line in said[-_TAIL:]],
        hint=hint,
    )
