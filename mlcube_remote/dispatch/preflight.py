# SPDX-License-Identifier: Apache-2.0
"""What a host is and has, asked once per job, and whether that will do."""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Iterable, Mapping

import attrs

from mlcube_remote.commands.model import ImageCommands
from mlcube_remote.commands.sif import PROGRAMS
from mlcube_remote.dispatch.paths import HostPaths
from mlcube_remote.dispatch.rsync import check_remote_version
from mlcube_remote.errors import HostUnfitError
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.transport.base import Connection, Reply

_CLOCK_TOLERANCE = 60.0
"""Seconds."""

_ARCHITECTURES: Mapping[str, str] = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
"""``uname -m`` to the names that images carry."""


@attrs.frozen(kw_only=True)
class Facts:
    """What a host told of itself."""

    home: str
    root: str
    """``remote_root``, absolute."""
    user: str
    uid: str
    machine: str
    """``uname -m``."""
    root_id: str
    """The same for two hosts that share one ``remote_root``."""
    rsync: str
    """Version, or nothing where there is none."""
    kinds: Mapping[str, str]
    """Absolute path → ``f``, ``d`` or ``-``, for the paths that were asked about."""
    programs: frozenset[str] = frozenset()
    """Which of ``singularity`` and ``apptainer`` there are."""

    logout: str = ""
    """What systemd ends when the user logs out: ``all``, ``manager`` (the user's services), or
    nothing that is known of."""

    clock_ahead: float = 0.0
    """Seconds that its clock is ahead of this machine's; nothing is decided by it."""

    @property
    def architecture(self) -> str:
        """The machine in the words of container images."""
        return _ARCHITECTURES.get(self.machine, self.machine)


def records(reply: Reply) -> list[tuple[str, str]]:
    """Split an answer of the shell library into its (key, value) records."""
    parts = reply.text.split("\0")[:-1]
    return [(key, value) for key, _, value in (part.partition("=") for part in parts)]


def probe(
    connection: Connection, *, remote_root: str, cube_room: str, paths: Iterable[str] = ()
) -> Facts:
    """Prepare ``remote_root`` on the host and ask what the host is.

    Args:
        connection: The host.
        remote_root: As in the inventory.
        cube_room: Directory below it to make for the cube, or nothing.
        paths: Absolute paths of which the kind is asked.

    Raises:
        HostUnfitError: ``remote_root`` cannot be used safely.
    """
    asked = time.time()
    reply = connection.call("mlcr_probe_host", remote_root, cube_room, *paths)
    answered = time.time()
    if not reply.ok:
        said = reply.stderr.decode("utf-8", "replace").strip() or f"status {reply.code}"
        raise HostUnfitError(
            connection.name,
            f"remote_root cannot be used: {said.splitlines()[-1]}",
            hint=f"mend it there, or set another remote_root for {connection.name}",
        )
    told = records(reply)
    facts = dict(told)
    kinds = {value[1:]: value[:1] for key, value in told if key == "kind"}
    try:
        return Facts(
            home=facts["home"],
            root=facts["root"],
            user=facts["user"],
            uid=facts["uid"],
            machine=facts["machine"],
            root_id=facts["root_id"],
            rsync=facts["rsync"],
            kinds=kinds,
            programs=frozenset(value for key, value in told if key == "program"),
            logout=facts.get("logout", ""),
            clock_ahead=_outside(int(facts["now"]), asked - 1, answered),
        )
    except (KeyError, ValueError) as problem:
        raise HostUnfitError(
            connection.name, f"told something unexpected of itself ({problem})"
        ) from problem


def _outside(value: float, low: float, high: float) -> float:
    """Return how far above the range (or, negative, below it) a value lies."""
    return max(value - high, 0.0) + min(value - low, 0.0)


def clock_warning(facts: Facts) -> str | None:
    """Return what is to be said of a host's clock, if that is wrong by more than a minute."""
    if abs(facts.clock_ahead) <= _CLOCK_TOLERANCE:
        return None
    side = "ahead of" if facts.clock_ahead > 0 else "behind"
    return (
        f"its clock is {abs(facts.clock_ahead):.0f} s {side} this machine's: nothing here depends "
        "on that, but times in the task's output and of its files are off"
    )


def logout_warning(facts: Facts, needed: ImageCommands) -> str | None:
    """Return what is to be said of a host that ends a user's tasks when the user logs out."""
    if facts.logout == "all":
        return (
            "logind ends your processes there when you log out (KillUserProcesses=yes), so the "
            "task may not outlive this command; ask the host's administrator"
        )
    if facts.logout == "manager" and needed.engine[0] == "podman":
        return (
            "rootless podman ends its containers there when you are logged in nowhere any more, so "
            f"the task may not outlive this command; once: loginctl enable-linger {facts.user}"
        )
    return None


def require_rsync(connection: Connection, facts: Facts) -> None:
    """Refuse a host without a usable rsync; see :func:`rsync.check_remote_version`."""
    check_remote_version(connection.name, facts.rsync)


def require_program(connection: Connection, facts: Facts, needed: ImageCommands) -> None:
    """Refuse a host that has neither Singularity nor Apptainer, when one of them is wanted.

    Raises:
        HostUnfitError: No program that would do is there, and no other one is configured.
    """
    platform = needed.platform
    if platform in CONTAINER_ENGINES or needed.engine != (platform,) or facts.programs:
        return
    raise no_program(connection.name, platform)


def no_program(host: str, platform: str) -> HostUnfitError:
    """Return the error for a host that has neither Singularity nor Apptainer."""
    return HostUnfitError(
        host,
        f"neither {' nor '.join(PROGRAMS[platform])} was found there",
        hint=f"install one on {host}, or set {platform}: {{{platform}: PATH}} in the inventory",
    )


@attrs.frozen
class Image:
    """Whether an image is on a host, and for which machine it was made."""

    present: bool
    architecture: str = ""
    stale: bool = False
    """Whether it is there, but was built from another recipe."""


def find_image(connection: Connection, needed: ImageCommands, paths: HostPaths) -> Image:
    """Ask whether an image is there.

    Args:
        connection: The host.
        needed: The image; for Singularity and Apptainer a file, held against its recipe.
        paths: The job's paths.

    Raises:
        HostUnfitError: The engine is missing, does not run, or may not be used.
    """
    platform, engine = needed.platform, needed.engine
    if platform not in CONTAINER_ENGINES:
        reply = connection.call("mlcr_check_sif", *sif_arguments(needed, paths))
        if not reply.ok:
            raise engine_problem(connection, platform, engine, reply)
        told = reply.text.strip()
        return Image(told == "f", stale=told == "stale")
    reply = connection.call("mlcr_print_image_platform", needed.image, *engine)
    if reply.ok:
        return Image(True, reply.text.strip().partition("/")[2])
    said = reply.stderr.decode("utf-8", "replace").strip()
    lowered = said.lower()
    if "no such image" in lowered or "image not known" in lowered:
        return Image(False)
    raise engine_problem(connection, platform, engine, reply)


def sif_arguments(needed: ImageCommands, paths: HostPaths) -> tuple[str, ...]:
    """Return what the functions of ``sif_images.sh`` take, from the cube's directory on."""
    source, count, command = "", len(needed.engine), needed.engine
    if needed.configure:
        source, count, command = needed.source, count + 1, needed.configure[0][:-2]
    return (paths.cube, paths.workspace, needed.image, source, str(count), *command)


def engine_problem(
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
        about = connection.call("mlcr_print_socket_access").text.strip().splitlines()
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


def require_architecture(
    connection: Connection, facts: Facts, image: Image, name: str
) -> str | None:
    """Refuse an image made for another machine, unless the host emulates that one.

    Returns:
        A warning when the image will be emulated.

    Raises:
        HostUnfitError: The host cannot run the image.
    """
    if not image.architecture or image.architecture == facts.architecture:
        return None
    emulated = {"arm64": "aarch64", "amd64": "x86_64", "386": "i386"}.get(
        image.architecture, image.architecture
    )
    binfmt = f"/proc/sys/fs/binfmt_misc/qemu-{emulated}"
    if connection.call("mlcr_print_kind", binfmt).text.strip() == "f":
        return (
            f"image {name} is for {image.architecture}, this machine is {facts.architecture}: "
            "it is emulated, and slow"
        )
    raise HostUnfitError(
        connection.name,
        f"image {name} is for {image.architecture}, the machine is {facts.architecture}",
        hint="build or pull the image for this architecture "
        "(mlcube-remote configure builds it on the host where there is a Dockerfile)",
    )
