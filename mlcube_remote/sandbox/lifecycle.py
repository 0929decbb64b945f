# SPDX-License-Identifier: Apache-2.0
"""Start, list and remove the hosts of a sandbox.

A sandbox consists of a folder and of the containers that carry its label. These functions stop and
remove only containers with that label, and delete only files that they wrote.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from mlcube_remote.directories import make_private_directory, open_private_file
from mlcube_remote.runs.atomic import write_atomically
from mlcube_remote.sandbox import container, engine, flavours, homes, images, keys
from mlcube_remote.sandbox.engine import SandboxError, docker
from mlcube_remote.sandbox.flavours import Flavour
from mlcube_remote.sandbox.paths import (
    Sandbox,
    SandboxHost,
    SandboxPaths,
    default_paths,
    write_inventory,
    write_known_hosts,
)

LABEL = "org.mlcommons.mlcube-remote.sandbox"

_PARALLEL_STARTS = 8
_MAX_LISTED_NAMES = 4
"""A message with more hosts than these gives their number instead of their names."""
_PUBLISHED_PORT = re.compile(r"127\.0\.0\.1:(\d+)->22/tcp")


def _ignore(_line: str) -> None:
    """Do nothing with a note."""


@attrs.frozen(kw_only=True)
class _FoundContainer:
    """A container with the sandbox's label."""

    container: str
    host: str
    flavour: str
    image: str
    port: int | None
    """``None`` if it is not running."""
    home: Path


def up(
    count: int | None = None,
    flavour: str = "docker",
    *,
    state_dir: Path | None = None,
    note: Callable[[str], None] = _ignore,
) -> Sandbox:
    """Make sure that the sandbox has *count* hosts of these flavours, ready for logins.

    Running hosts of the right flavour are kept; all other hosts are removed.

    Args:
        count: Number of hosts: ``sandbox1``, ``sandbox2`` and so on. Default: two, or one per
            flavour if that is more.
        flavour: A name in :data:`mlcube_remote.sandbox.flavours.FLAVOURS`, or a comma-separated
            list, from which the hosts take flavours in turn.
        state_dir: The folder for the sandbox's files; each folder is a sandbox of its own.
        note: Called with one line before a step that takes long.

    Raises:
        SandboxError: No engine answers, an image cannot be pulled or built, or a host does not
            start.
    """
    kinds = flavours.parse_flavours(flavour)
    if count is None:
        count = max(2, len(kinds))
    if count < len(kinds):
        raise SandboxError(
            f"a sandbox with {flavour} has at least {_format_count(len(kinds))}, not {count}",
            hint=f"--hosts {len(kinds)}",
        )
    requested = {f"sandbox{number + 1}": kinds[number % len(kinds)] for number in range(count)}
    paths = _paths(state_dir)
    make_private_directory(paths.root)
    with _lock(paths):
        _replace_hosts(paths, requested, note)
        return _publish(paths)


def _replace_hosts(
    paths: SandboxPaths, requested: Mapping[str, Flavour], note: Callable[[str], None]
) -> None:
    """Keep the running hosts that were requested, remove all others, start those that are missing.

    Args:
        paths: The sandbox's files.
        requested: Name → flavour of each host.
        note: Called with one line before a step that takes long.
    """
    found = _find_containers(paths)
    kinds = {kind.name: kind for kind in requested.values()}
    image_names = {name: images.ensure_image(kind, note) for name, kind in kinds.items()}
    kept = {
        each.host
        for each in found
        if (kind := requested.get(each.host)) is not None
        and (each.flavour, each.image) == (kind.name, image_names[kind.name])
        and each.port
    }
    removed = [each for each in found if each.host not in kept]
    if removed:
        note(f"removing {_format_names([each.host for each in removed])}")
        _remove(paths, removed)
    missing = {name: kind for name, kind in requested.items() if name not in kept}
    if missing:
        note(f"starting {_format_names([*missing])}")
        _start(paths, {name: (kind, image_names[kind.name]) for name, kind in missing.items()})


def status(*, state_dir: Path | None = None) -> Sandbox:
    """Return the running hosts; the sandbox may have none.

    Raises:
        SandboxError: No engine answers.
    """
    paths = _paths(state_dir)
    return Sandbox(id=paths.id, inventory=paths.inventory, hosts=_find_running(paths))


def down(
    *, state_dir: Path | None = None, note: Callable[[str], None] = _ignore
) -> tuple[str, ...]:
    """Remove the hosts with everything on them, and the sandbox's files; return their names.

    Raises:
        SandboxError: No engine answers, or a file cannot be deleted.
    """
    paths = _paths(state_dir)
    if not paths.root.exists():
        found = _find_containers(paths)
        _remove(paths, found)
        return _names_of(found)
    with _lock(paths):
        found = _find_containers(paths)
        names = _names_of(found)
        if found:
            note(f"removing {_format_names(names)}")
        _remove(paths, found)
        homes.delete_folder(paths.hosts, label=LABEL)
        for path in (paths.inventory, paths.known_hosts, paths.identity, paths.lock):
            path.unlink(missing_ok=True)
        paths.identity.with_name(paths.identity.name + ".pub").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it contains files of the user, which are kept
        paths.root.rmdir()
    return names


def _names_of(found: Sequence[_FoundContainer]) -> tuple[str, ...]:
    return tuple(sorted(each.host for each in found))


def _format_names(hosts: Sequence[str]) -> str:
    return ", ".join(hosts) if len(hosts) <= _MAX_LISTED_NAMES else _format_count(len(hosts))


def _format_count(hosts: int) -> str:
    return "one host" if hosts == 1 else f"{hosts} hosts"


def _paths(state_dir: Path | None) -> SandboxPaths:
    return SandboxPaths(state_dir.resolve()) if state_dir else default_paths()


@contextlib.contextmanager
def _lock(paths: SandboxPaths) -> Iterator[None]:
    """Hold the lock on the sandbox; other processes wait until the block ends."""
    lock = open_private_file(paths.lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _find_containers(paths: SandboxPaths) -> list[_FoundContainer]:
    fields = (
        "{{.ID}}",
        f'{{{{.Label "{LABEL}.host"}}}}',
        f'{{{{.Label "{LABEL}.flavour"}}}}',
        f'{{{{.Label "{LABEL}.home"}}}}',
        "{{.Image}}",
        "{{.Ports}}",
    )
    listing = docker(
        *("ps", "--all", "--filter", f"label={LABEL}={paths.id}"),
        *("--format", "\t".join(fields)),
        timeout=30,
    )
    found = []
    for line in listing.splitlines():
        identity, host, flavour, home, image, ports = line.split("\t")
        published = _PUBLISHED_PORT.search(ports)
        found.append(
            _FoundContainer(
                container=identity,
                host=host,
                flavour=flavour,
                image=image,
                port=int(published[1]) if published else None,
                home=Path(home),
            )
        )
    return found


def _find_running(paths: SandboxPaths) -> tuple[SandboxHost, ...]:
    hosts = [
        SandboxHost(name=each.host, flavour=each.flavour, port=each.port, home=each.home)
        for each in _find_containers(paths)
        if each.port
    ]
    return tuple(sorted(hosts, key=lambda host: (len(host.name), host.name)))


def _start(paths: SandboxPaths, missing: Mapping[str, tuple[Flavour, str]]) -> None:
    """Start the missing hosts, given as name → flavour and image."""
    public = keys.ensure_key(paths.identity)

    def start(name: str) -> None:
        kind, image = missing[name]
        folder = paths.keys(name)
        keys.ensure_key(folder / "ssh_host_ed25519_key")
        write_atomically(folder / "authorized_keys", public + "\n")
        volume = f"{_container_name(paths, name)}-disk"
        home = homes.ensure_home(kind, paths.home(name), volume=volume, label=f"{LABEL}={paths.id}")
        host = container.make_container(
            kind, image=image, hostname=name, keys=folder, home=home, engine_volume=volume
        )
        if kind.engine.store:
            docker("volume", "create", "--label", f"{LABEL}={paths.id}", volume)
        labels = {
            LABEL: paths.id,
            f"{LABEL}.host": name,
            f"{LABEL}.flavour": kind.name,
            f"{LABEL}.home": home.target,
        }
        words = [word for label in labels.items() for word in ("--label", "=".join(label))]
        identity = engine.start_container(
            _container_name(paths, name), container.SSH_PORT, *words, *host.options(), image
        )
        if kind.engine.is_inside:
            engine.wait_for_inner_engine(identity)

    with ThreadPoolExecutor(_PARALLEL_STARTS) as pool:
        list(pool.map(start, missing))


def _publish(paths: SandboxPaths) -> Sandbox:
    """Write known_hosts and the inventory, and wait until each host greets."""
    hosts = _find_running(paths)
    lines = [
        keys.format_known_hosts_line(
            host.port, keys.ensure_key(paths.keys(host.name) / "ssh_host_ed25519_key")
        )
        for host in hosts
    ]
    write_known_hosts(paths, lines)
    write_inventory(paths, hosts)
    with ThreadPoolExecutor(_PARALLEL_STARTS) as pool:
        list(pool.map(lambda host: keys.wait_for_greeting(host.name, host.port), hosts))
    return Sandbox(id=paths.id, inventory=paths.inventory, hosts=hosts)


def _container_name(paths: SandboxPaths, host: str) -> str:
    return f"mlcube-remote-{paths.id}-{host}"


def _remove(paths: SandboxPaths, found: list[_FoundContainer]) -> None:
    if found:
        docker("rm", "--force", "--volumes", *(each.container for each in found))
    volumes = docker("volume", "ls", "--quiet", "--filter", f"label={LABEL}={paths.id}").split()
    used = {each.host for each in _find_containers(paths)}
    gone = [
        volume for volume in volumes if volume.removesuffix("-disk").rpartition("-")[2] not in used
    ]
    if gone:
        docker("volume", "rm", *gone)
    for each in found:
        homes.delete_folder(paths.hosts / each.host, label=LABEL)
