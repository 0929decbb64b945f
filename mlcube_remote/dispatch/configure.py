# SPDX-License-Identifier: Apache-2.0
"""Bring the image to a host: run the pull or build that the command builder has planned."""

from __future__ import annotations

import posixpath
import random
import re
import time
from collections.abc import Iterator, Mapping
from functools import partial

from mlcube_remote.commands.model import Argv, ImageCommands
from mlcube_remote.dispatch.build_steps import BuildSteps
from mlcube_remote.dispatch.output_tail import MAX_LINES, OutputTail
from mlcube_remote.errors import ConfigureError
from mlcube_remote.events.emitter import JobEvents
from mlcube_remote.events.model import Level, Stage
from mlcube_remote.facts.images import sif_arguments, sif_builder
from mlcube_remote.jobs.launch import Prerequisites, preparation_error
from mlcube_remote.plan.confined import Confined, confine
from mlcube_remote.plan.host_paths import HostPaths
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.remote import status
from mlcube_remote.transport.base import Connection, Stream
from mlcube_remote.transport.quoting import quote_words

ATTEMPTS = 3
"""Maximum number of tries for a pull if the registry or the network fails."""

_TRANSIENT = re.compile(
    r"toomanyrequests|TLS handshake timeout|i/o timeout|connection reset|connection refused"
    r"|unexpected EOF|temporarily unavailable|503 |502 |timeout exceeded",
    re.IGNORECASE,
)

_NO_IMAGE = re.compile(r"manifest[_ ]unknown|name[_ ]unknown|not found|denied|unauthorized")
"""What registries say about an image that they do not have; some ask for a login."""


def configure(
    connection: Connection,
    events: JobEvents,
    paths: HostPaths,
    commands: ImageCommands,
    labels: Argv = (),
) -> None:
    """Run the commands that bring the image, and show their output.

    A SIF file is built under another name and renamed when it is complete. If several clients need
    it at the same time, one builds it and the others wait.

    Args:
        connection: The host.
        events: Receives the output of the engine.
        paths: The job's paths.
        commands: Each of ``commands.configure`` is run in the cube's directory.
        labels: Options that mark an image that an engine builds.

    Raises:
        ConfigureError: One of them failed; the message has its last lines of output.
        UnsafeContentError: A link leads to another place, from the directory of the image or from
            what it is built from.
    """
    if not commands.configure:
        raise ConfigureError(
            connection.name,
            f"{commands.platform}.image: {commands.image} does not exist, and there is no recipe "
            f"to build it from ({commands.platform}.build_file: {commands.source})",
            hint="copy the image to the host, or give the cube a recipe "
            "(see docs/reference/platforms.md)",
        )
    directories = tuple(confine(path, paths) for path in commands.configure_directories)
    if directories:
        words = Prerequisites(directories=directories).words
        reply = connection.call("mlcr_prepare_paths", *words)
        if reply.code == status.LEADS_OUT:
            raise preparation_error(connection, reply)
    sources = [each for each in _sources(paths, commands) if not each.may_lead_anywhere]
    if sources:
        reply = connection.call(
            "mlcr_check_sources", *(word for at in sources for word in at.words)
        )
        if not reply.ok:
            raise preparation_error(connection, reply)
    for argv in commands.configure:
        marked = _with_labels(commands, argv, labels)
        _run_with_retries(connection, events, paths, commands, marked)


def _with_labels(commands: ImageCommands, argv: Argv, labels: Argv) -> Argv:
    """Return a build of an engine with labels; another command is returned as it is."""
    verb = len(commands.engine)
    if commands.platform not in CONTAINER_ENGINES or argv[verb : verb + 1] != ("build",):
        return argv
    return (*argv[: verb + 1], *labels, *argv[verb + 1 :])


def _sources(paths: HostPaths, commands: ImageCommands) -> Iterator[Confined]:
    """Yield the paths that an image is built from: an earlier task may have replaced them."""
    if commands.context:
        yield confine(commands.context, paths)
        yield confine(commands.source, paths)
    kind, colon, rest = commands.source.partition(":")
    if colon and kind.endswith("-archive"):
        yield confine(posixpath.join(commands.cwd, rest.partition(":")[0]), paths)


def _run_with_retries(
    connection: Connection,
    events: JobEvents,
    paths: HostPaths,
    commands: ImageCommands,
    argv: Argv,
) -> None:
    events.note(Level.DEBUG, f"configure: {quote_words((*commands.builder, *argv))}")
    env = sif_builder(commands)
    for attempt in range(1, ATTEMPTS + 1):
        code, tail = _run(connection, events, _call(paths, commands, argv), env)
        if code == 0:
            return
        lines = [line for line in tail if line.strip()]
        is_pull = "pull" in argv[: len(commands.engine) + 1] or "://" in commands.source
        is_transient = any(_TRANSIENT.search(line) for line in lines)
        if not (is_pull and is_transient and attempt < ATTEMPTS):
            raise _error(connection.name, commands, argv, code, lines)
        pause = 2.0**attempt * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret
        events.note(Level.WARNING, f"no image yet ({lines[-1].strip()}); retrying in {pause:.0f} s")
        time.sleep(pause)


def _call(paths: HostPaths, commands: ImageCommands, argv: Argv) -> Argv:
    """Return the function of the shell library, and its arguments."""
    if commands.platform in CONTAINER_ENGINES:
        return ("mlcr_run_while_connected", "mlcr_run_in", paths.cube, *argv)
    build: Argv = ("mlcr_build_sif",)
    if commands.recipe is not None:
        copied = "\n".join(commands.recipe.copied)
        build = ("mlcr_build_checked_sif", commands.recipe.digest, copied)
    return ("mlcr_run_while_connected", *build, paths.root, *sif_arguments(commands, paths))


def _run(
    connection: Connection, events: JobEvents, call: Argv, env: Mapping[str, str]
) -> tuple[int, list[str]]:
    tail = OutputTail()
    pass_on = events.output(Stage.CONFIGURE, None)
    steps = BuildSteps(partial(events.progress, Stage.CONFIGURE))

    def keep(stream: Stream, data: bytes) -> None:
        tail.add(data)
        pass_on(stream, data)
        steps.read(stream, data)

    code = connection.stream(*call, sink=keep, env=env)
    return code, tail.lines()[-MAX_LINES:]


def _error(
    host: str, commands: ImageCommands, argv: Argv, code: int, lines: list[str]
) -> ConfigureError:
    platform = commands.platform
    verb = argv[len(commands.engine)] if len(argv) > len(commands.engine) else argv[-1]
    setting = "image" if verb == "pull" else "build_file"
    lowered = "\n".join(lines).lower()
    hint = None
    if "pull access denied" in lowered or "unauthorized" in lowered or "denied:" in lowered:
        hint = f"on {host}: log in to the registry ({' '.join(commands.engine)} login), or check "
        hint += f"{platform}.{setting}"
    elif verb == "pull" and ("not found" in lowered or "manifest unknown" in lowered):
        hint = f"check {platform}.image, or let the host build it: -P{platform}.build_strategy=auto"
    if commands.source.startswith("docker://") and _NO_IMAGE.search(lowered):
        # Mostly a cube that has only a Dockerfile, such as one that "init" has written.
        hint = f"if no registry has it: {platform} builds no Dockerfile, so build the image with "
        hint += "Docker or Podman, and send it: --ship-image=HOST (local: this machine)"
    if verb == "pull" and commands.source:
        hint = f"there is no recipe to build it from: {platform}.build_file: {commands.source}"
    return ConfigureError(
        host,
        f"{platform}.{setting}: {verb} of image {commands.image} failed (status {code})",
        output=[line.rstrip() for line in lines[-MAX_LINES:]],
        hint=hint,
    )
