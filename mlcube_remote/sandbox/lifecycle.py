# SPDX-License-Identifier: Apache-2.0
"""Start, list and remove the hosts of a sandbox.

A sandbox is the containers that carry its label, and a folder. Only what carries the label is
ever stopped or removed, and only what these functions wrote is deleted.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from mlcube_remote.sandbox import container, engine, flavours, homes, images, keys, paths
from mlcube_remote.sandbox.engine import SandboxError, docker
from mlcube_remote.sandbox.flavours import Flavour
from mlcube_remote.sandbox.paths import Place, Sandbox, SandboxHost

LABEL = "org.mlcommons.mlcube-remote.sandbox"

_AT_ONCE = 8
_FEW = 4
"""With more hosts than these, they are counted instead of named."""
_PUBLISHED = re.compile(r"127\.0\.0\.1:(\d+)->22/tcp")


def _silent(_line: str) -> None:
    """Say nothing."""


@attrs.frozen(kw_only=True)
class _Found:
    """A container that carries the sandbox's label."""

    container: str
    host: str
    flavour: str
    image: str
    port: int | None
    """``None`` while it does not run."""
    home: Path


def up(
    count: int | None = None,
    flavour: str = "docker",
    *,
    state_dir: Path | None = None,
    note: Callable[[str], None] = _silent,
) -> Sandbox:
    """Leave the sandbox with *count* hosts of these flavours, ready to log in.

    Hosts that run already stay as they are; others, and surplus ones, are removed.

    Args:
        count: How many hosts: ``sandbox1``, ``sandbox2`` and so on. Without it two, or one of each
            flavour if that is more.
        flavour: A name of :data:`mlcube_remote.sandbox.flavours.FLAVOURS`, or several, separated
            by commas, which the hosts take in turn.
        state_dir: Where the sandbox keeps its files; one folder is one sandbox.
        note: Told in one line what takes long.

    Raises:
        SandboxError: No engine answers, an image cannot be had, or a host does not start.
    """
    kinds = flavours.listed(flavour)
    if count is None:
        count = max(2, len(kinds))
    if count < len(kinds):
        raise SandboxError(
            f"a sandbox with {flavour} has at least {_counted(len(kinds))}, not {count}",
            hint=f"--hosts {len(kinds)}",
        )
    wanted = {f"sandbox{number + 1}": kinds[number % len(kinds)] for number in range(count)}
    where = _place(state_dir)
    where.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(where):
        found = {each.host: each for each in _containers(where)}
        image = {kind.name: images.ensure_image(kind, note) for kind in kinds}
        fit = {
            name: each
            for name, each in found.items()
            if name in wanted
            and (each.flavour, each.image) == (wanted[name].name, image[wanted[name].name])
            and each.port
        }
        unfit = [each for name, each in found.items() if name not in fit]
        if unfit:
            note(f"removing {_named([each.host for each in unfit])}")
            _remove(where, unfit)
        missing = [name for name in wanted if name not in fit]
        if missing:
            note(f"starting {_named(missing)}")
            _start(where, {name: (wanted[name], image[wanted[name].name]) for name in missing})
        return _publish(where)


def status(*, state_dir: Path | None = None) -> Sandbox:
    """Return the hosts that run now; none is no error.

    Raises:
        SandboxError: No engine answers.
    """
    where = _place(state_dir)
    return Sandbox(id=where.id, inventory=where.inventory, hosts=_running(where))


def down(*, state_dir: Path | None = None, note: Callable[[str], None] = _silent) -> None:
    """Remove the hosts with all that is on them, and the sandbox's files.

    Raises:
        SandboxError: No engine answers, or a file refuses to go.
    """
    where = _place(state_dir)
    if not where.root.exists():
        _remove(where, _containers(where))
        return
    with _locked(where):
        found = _containers(where)
        if found:
            note(f"removing {_named(sorted(each.host for each in found))}")
        _remove(where, found)
        homes.delete(where.hosts, label=LABEL)
        for path in (where.inventory, where.known_hosts, where.identity, where.lock):
            path.unlink(missing_ok=True)
        where.identity.with_name(where.identity.name + ".pub").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something of the user's own is in there: it stays
        where.root.rmdir()


def _named(hosts: Sequence[str]) -> str:
    return ", ".join(hosts) if len(hosts) <= _FEW else _counted(len(hosts))


def _counted(hosts: int) -> str:
    return "one host" if hosts == 1 else f"{hosts} hosts"


def _place(state_dir: Path | None) -> Place:
    return Place(state_dir.resolve()) if state_dir else paths.default_place()


@contextlib.contextmanager
def _locked(where: Place) -> Iterator[None]:
    """Let one process at a time change the sandbox; the others wait."""
    with where.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _containers(where: Place) -> list[_Found]:
    fields = (
        "{{.ID}}",
        f'{{{{.Label "{LABEL}.host"}}}}',
        f'{{{{.Label "{LABEL}.flavour"}}}}',
        f'{{{{.Label "{LABEL}.home"}}}}',
        "{{.Image}}",
        "{{.Ports}}",
    )
    listing = docker(
        *("ps", "--all", "--filter", f"label={LABEL}={where.id}"),
        *("--format", "\t".join(fields)),
        timeout=30,
    )
    found = []
    for line in listing.splitlines():
        identity, host, flavour, home, image, ports = line.split("\t")
        published = _PUBLISHED.search(ports)
        found.append(
            _Found(
                container=identity,
                host=host,
                flavour=flavour,
                image=image,
                port=int(published[1]) if published else None,
                home=Path(home),
            )
        )
    return found


def _running(where: Place) -> tuple[SandboxHost, ...]:
    hosts = [
        SandboxHost(name=each.host, flavour=each.flavour, port=each.port, home=each.home)
        for each in _containers(where)
        if each.port
    ]
    return tuple(sorted(hosts, key=lambda host: (len(host.name), host.name)))


def _start(where: Place, missing: Mapping[str, tuple[Flavour, str]]) -> None:
    """Start hosts, each of its kind and from its image."""
    public = keys.ensure_key(where.identity)

    def start(name: str) -> None:
        kind, image = missing[name]
        folder = where.keys(name)
        keys.ensure_key(folder / "ssh_host_ed25519_key")
        (folder / "authorized_keys").write_text(public + "\n")
        volume = f"{_container_name(where, name)}-disk"
        home = homes.ensure(kind, where.home(name), volume=volume, label=f"{LABEL}={where.id}")
        host = container.describe(
            kind, image=image, hostname=name, keys=folder, home=home, engine_volume=volume
        )
        if kind.engine.store:
            docker("volume", "create", "--label", f"{LABEL}={where.id}", volume)
        labels = {
            LABEL: where.id,
            f"{LABEL}.host": name,
            f"{LABEL}.flavour": kind.name,
            f"{LABEL}.home": home.target,
        }
        words = [word for label in labels.items() for word in ("--label", "=".join(label))]
        identity = engine.start(_container_name(where, name), *words, *host.options(), image)
        if kind.engine.is_inside:
            engine.wait_for_inner_engine(identity)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(start, missing))


def _publish(where: Place) -> Sandbox:
    """Write down how to reach the hosts once each of them greets."""
    hosts = _running(where)
    lines = [
        keys.known_hosts_line(
            host.port, keys.ensure_key(where.keys(host.name) / "ssh_host_ed25519_key")
        )
        for host in hosts
    ]
    paths.write_whole(where.known_hosts, "".join(f"{line}\n" for line in lines))
    paths.write_inventory(where, hosts)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda host: keys.wait_for_greeting(host.name, host.port), hosts))
    return Sandbox(id=where.id, inventory=where.inventory, hosts=hosts)


def _container_name(where: Place, host: str) -> str:
    return f"mlcube-remote-{where.id}-{host}"


def _remove(where: Place, found: list[_Found]) -> None:
    if found:
        docker("rm", "--force", "--volumes", *(each.container for each in found))
    volumes = docker("volume", "ls", "--quiet", "--filter", f"label={LABEL}={where.id}").split()
    used = {each.host for each in _containers(where)}
    gone = [
        volume for volume in volumes if volume.removesuffix("-disk").rpartition("-")[2] not in used
    ]
    if gone:
        docker("volume", "rm", *gone)
    for each in found:
        homes.delete(where.hosts / each.host, label=LABEL)
