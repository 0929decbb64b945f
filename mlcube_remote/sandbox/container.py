# SPDX-License-Identifier: Apache-2.0
"""The container of one sandbox host, as a value, and its options for ``docker run``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from mlcube_remote.sandbox.flavours import Engine, Flavour

SOCKET = Path("/var/run/docker.sock")
SSH_PORT = 22

_UNKNOWN_UID = 1999
"""A user without access to the socket, by group or access list, on any machine."""


@attrs.frozen(kw_only=True)
class Bind:
    """A path of this machine, or a volume, that is mounted in the container."""

    source: str
    target: str
    mode: str = "rw"


@attrs.frozen(kw_only=True)
class Container:
    """The settings of a host's container, which need not exist yet."""

    image: str
    hostname: str
    environment: Mapping[str, str]
    binds: tuple[Bind, ...]
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    cgroupns: str | None = None

    def options(self) -> list[str]:
        """Return the options of ``docker run`` for this host, without its port."""
        words = ["--hostname", self.hostname]
        for name, value in self.environment.items():
            words += ["--env", f"{name}={value}"]
        for bind in self.binds:
            words += ["--volume", f"{bind.source}:{bind.target}:{bind.mode}"]
        for option, values in (
            ("--cap-add", self.cap_add),
            ("--cap-drop", self.cap_drop),
            ("--security-opt", self.security_opt),
            ("--device-cgroup-rule", self.device_cgroup_rules),
            ("--cgroupns", (self.cgroupns,) if self.cgroupns else ()),
        ):
            for value in values:
                words += [option, value]
        return words


def make_container(
    flavour: Flavour, *, image: str, hostname: str, keys: Path, home: Bind, engine_volume: str
) -> Container:
    """Return the settings of the container for a host of this *flavour*.

    Args:
        flavour: The kind of host.
        image: Its image.
        hostname: The host name inside.
        keys: Folder with ``ssh_host_ed25519_key`` and ``authorized_keys``.
        home: The user's home; a shared engine needs the same path on both sides.
        engine_volume: Volume for the layers of an inner engine.
    """
    binds = [Bind(source=str(keys), target="/run/sandbox", mode="ro"), home]
    if flavour.engine in (Engine.SHARED, Engine.FORBIDDEN):
        binds.append(Bind(source=str(SOCKET), target=str(SOCKET)))
    uid = _UNKNOWN_UID if flavour.engine is Engine.FORBIDDEN else os.getuid() or 1000
    environment = {
        "SANDBOX_HOME": home.target,
        "SANDBOX_UID": str(uid),
        "SANDBOX_SHELL": flavour.login_shell,
        "SANDBOX_ENGINE": flavour.engine.value,
        "SANDBOX_WITHOUT": " ".join(flavour.without),
        "SANDBOX_NOISY": "1" if flavour.is_noisy else "0",
        "SANDBOX_SSHD": "\n".join(flavour.sshd_options),
    }
    if flavour.engine.store:
        binds.append(Bind(source=engine_volume, target=flavour.engine.store))
    host = Container(image=image, hostname=hostname, environment=environment, binds=tuple(binds))
    return _add_privileges(host, flavour.engine) if flavour.engine.is_inside else host


def _add_privileges(host: Container, engine: Engine) -> Container:
    """Return the settings with the privileges that an inner engine needs.

    ``--privileged`` would be shorter, but it fails if the outer engine lacks a capability, as on
    many small virtual machines.
    """
    host = attrs.evolve(
        host,
        cap_add=("SYS_ADMIN",),
        security_opt=("seccomp=unconfined", "apparmor=unconfined"),
        device_cgroup_rules=("a *:* rwm",),
    )
    if engine is not Engine.OWN:
        return host  # ordinary users run the engine, in their own namespaces
    return attrs.evolve(
        host,
        binds=(*host.binds, Bind(source="/sys/fs/cgroup", target="/sys/fs/cgroup")),
        cap_add=("ALL",),
        cap_drop=("SYS_RESOURCE",),
        cgroupns="host",
    )
