# SPDX-License-Identifier: Apache-2.0
"""Real SSH hosts for tests: the sandbox's images, started through testcontainers.

    def test_greets(ssh_host: HostFactory) -> None:
        host = ssh_host("fish", MaxSessions=1)

Hosts last for the test session. Equal arguments return the same host; ``private=True`` returns a
host that no other test uses, for tests that break it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs
import pytest
import yaml
from docker.errors import APIError
from testcontainers.core.container import DockerContainer

from mlcube_remote import sandbox
from mlcube_remote.inventory.load import load
from mlcube_remote.inventory.model import Host
from mlcube_remote.sandbox import SandboxError, SandboxHost, container, homes, images, keys
from mlcube_remote.sandbox.engine import PORTS, docker, ensure_base_image, wait_for_inner_engine
from mlcube_remote.sandbox.flavours import get_flavour
from mlcube_remote.sandbox.paths import SandboxPaths, write_inventory, write_known_hosts

RUN_LABEL = "org.mlcommons.mlcube-remote"

LABEL = f"{RUN_LABEL}.test"

_OWN_SANDBOX = re.compile(r"/.+/sandbox-of-(\d+)(?=/)")
"""The folder of a sandbox that a test brought up itself, with the session it was for."""


@attrs.frozen
class Executed:
    """What a program said that ran on a host as root."""

    exit_code: int
    output: bytes


@attrs.frozen(kw_only=True)
class SshHost:
    """A host that runs, with an inventory that knows it."""

    name: str
    place: SandboxPaths
    port: int
    home: Path
    container: DockerContainer

    @property
    def inventory(self) -> Path:
        return self.place.inventory

    @property
    def host(self) -> Host:
        """The host as its inventory describes it."""
        return load(self.inventory).hosts[self.name]

    def exec(self, argv: Sequence[str]) -> Executed:
        """Run *argv* on the host as root, past sshd."""
        exit_code, output = self.container.exec(list(argv))
        assert exit_code is not None
        return Executed(exit_code, output)

    def logins(self) -> int:
        """Return how many logins its sshd has let in."""
        return sum(text.count(b"Accepted publickey") for text in self.container.get_logs())

    def tasks(self, *options: str) -> list[str]:
        """Return the containers of tasks on this host that run now, or all of them (``--all``)."""
        return _tasks(self.name, str(self.home), *options)


class HostFactory(Protocol):
    """Gives hosts; options of sshd are written as in sshd_config."""

    def __call__(
        self, flavour: str = "docker", /, *, private: bool = False, **sshd_options: object
    ) -> SshHost: ...


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Need the Docker engine and the base image: no CI run passes because they were absent."""
    try:
        docker("info", timeout=30)
    except SandboxError as problem:
        if os.environ.get("CI"):
            pytest.fail(f"{problem}; run: {problem.hint}")
        pytest.skip(f"{problem}; run: {problem.hint}")
    _sweep()
    ensure_base_image()


@pytest.fixture
def sandbox_folder(engine: None, tmp_path: Path) -> Iterator[Path]:
    """Give the folder for a sandbox of the test's own, which is down when the test has ended."""
    where = tmp_path / f"sandbox-of-{os.getpid()}"
    yield where
    sandbox.down(state_dir=where)


@pytest.fixture(scope="session")
def ssh_host(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostFactory]:
    """Start hosts on demand; all of them go with the session."""
    shared: dict[tuple[object, ...], SshHost] = {}
    with contextlib.ExitStack() as stack:

        def start(
            flavour: str = "docker", /, *, private: bool = False, **sshd_options: object
        ) -> SshHost:
            options = tuple(f"{key} {value}" for key, value in sshd_options.items())
            key = (flavour, *options)
            if not private and key in shared:
                return shared[key]
            root = tmp_path_factory.mktemp(f"{flavour}-", numbered=True)
            host = stack.enter_context(_running(flavour, options, SandboxPaths(root)))
            if not private:
                shared[key] = host
            return host

        yield start


@pytest.fixture
def sweep(engine: None) -> Callable[[], None]:
    """Return the function that removes what killed sessions left behind."""
    return _sweep


@pytest.fixture
def inventory_of(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes one inventory for several hosts, in the group "all_of_them"."""

    def write(*hosts: SshHost) -> Path:
        listed: dict[str, Any] = {}
        for host in hosts:
            listed.update(yaml.safe_load(host.inventory.read_text())["hosts"])
        path = tmp_path / "hosts.yaml"
        path.write_text(yaml.safe_dump({"hosts": listed, "groups": {"all_of_them": [*listed]}}))
        return path

    return write


@contextlib.contextmanager
def _running(flavour: str, options: tuple[str, ...], where: SandboxPaths) -> Iterator[SshHost]:
    kind = get_flavour(flavour)
    kind = attrs.evolve(kind, sshd_options=(*options, *kind.sshd_options))
    name = where.root.name
    folder = where.keys(name)
    host_key = keys.ensure_key(folder / "ssh_host_ed25519_key")
    (folder / "authorized_keys").write_text(keys.ensure_key(where.identity) + "\n")
    label = f"{LABEL}={os.getpid()}"
    volume = f"mlcube-remote-test-{os.getpid()}-{name}-disk"
    home = homes.ensure_home(kind, where.home(name), volume=volume, label=label)
    if kind.engine.store:
        docker("volume", "create", "--label", label, volume)
    described = container.make_container(
        kind,
        image=images.ensure_image(kind, print),
        hostname=name,
        keys=folder,
        home=home,
        engine_volume=volume,
    )
    try:
        with _started(described) as started:
            port = started.get_exposed_port(container.SSH_PORT)
            keys.wait_for_greeting(name, port)
            if kind.engine.is_inside:
                wait_for_inner_engine(started.get_container_id())
            listed = SandboxHost(name=name, flavour=flavour, port=port, home=Path(home.target))
            write_known_hosts(where, [keys.format_known_hosts_line(port, host_key)])
            write_inventory(where, [listed])
            yield SshHost(name=name, place=where, port=port, home=listed.home, container=started)
    finally:
        _remove_left(name, home.target)
        if docker("volume", "ls", "--quiet", "--filter", f"name={volume}"):
            docker("volume", "rm", volume)
        homes.delete_folder(where.hosts, label=label)


def _remove_left(name: str, home: str) -> None:
    """Remove the tasks' containers of a host that was not there any more to do so itself."""
    for identity in _tasks(name, home, "--all"):
        docker("rm", "--force", "--volumes", identity)


def _tasks(name: str, home: str, *options: str) -> list[str]:
    """Return the tasks' containers of a host; those of other sessions may have its name."""
    label = f"label={RUN_LABEL}.host={name}"
    shown = ("--no-trunc", "--format", "{{.ID}}\t{{.Mounts}}")
    lines = [
        line.split("\t") for line in docker("ps", *options, "--filter", label, *shown).splitlines()
    ]
    # No two hosts have one home.
    return [identity for identity, mounts in lines if home in mounts]


@contextlib.contextmanager
def _started(described: container.Container) -> Iterator[DockerContainer]:
    """Have it run; another program may have the port, or take it in the meantime."""
    for tries_left in reversed(range(10)):
        started = _as_testcontainer(described)
        try:
            started.start()
            break
        except APIError as refused:
            is_taken = re.search("address already in use|port is already allocated", str(refused))
            if not (tries_left and is_taken):
                raise
            # Not those that tests have stopped: they are removed at the end of the session.
            refused_ones = (
                "--filter",
                f"label={LABEL}={os.getpid()}",
                "--filter",
                "status=created",
            )
            for identity in docker("ps", "--all", "--quiet", *refused_ones).split():
                docker("rm", "--force", identity)
    try:
        yield started
    finally:
        started.stop()


def _as_testcontainer(described: container.Container) -> DockerContainer:
    started = DockerContainer(
        described.image,
        env=dict(described.environment),
        volumes=[(bind.source, bind.target, bind.mode) for bind in described.binds],
        hostname=described.hostname,
        labels={LABEL: str(os.getpid())},
        cap_add=list(described.cap_add),
        cap_drop=list(described.cap_drop),
        security_opt=list(described.security_opt),
        device_cgroup_rules=list(described.device_cgroup_rules),
        cgroupns=described.cgroupns,
    )
    return started.with_bind_ports(container.SSH_PORT, secrets.choice(PORTS))


def _sweep() -> None:
    """Remove what test sessions left behind that were killed; living ones keep theirs."""
    for kind, listing, remove in (
        ("container", ("ps", "--all"), ("rm", "--force", "--volumes")),
        ("volume", ("volume", "ls"), ("volume", "rm")),
    ):
        field = "{{.ID}}" if kind == "container" else "{{.Name}}"
        for identity, session in _labelled(listing, field, LABEL):
            if not _lives(session):
                _remove_once(*remove, identity)
    for _identity, home in _labelled(("ps", "--all"), "{{.ID}}", f"{sandbox.LABEL}.home"):
        owner = _OWN_SANDBOX.match(home)
        if owner and not _lives(owner[1]):
            sandbox.down(state_dir=Path(owner[0]))


def _remove_once(*command: str) -> None:
    """Remove what a killed session left; another session may remove it at the same moment."""
    try:
        docker(*command)
    except SandboxError as error:
        if not re.search("no such|already in progress", str(error), re.IGNORECASE):
            raise


def _labelled(listing: Sequence[str], field: str, label: str) -> list[list[str]]:
    shown = f'{field}\t{{{{.Label "{label}"}}}}'
    lines = docker(*listing, "--filter", f"label={label}", "--format", shown).splitlines()
    return [line.split("\t") for line in lines]


def _lives(session: str) -> bool:
    return Path("/proc", session).exists()
