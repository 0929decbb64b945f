# SPDX-License-Identifier: Apache-2.0
"""GPUs for one job alone, leased on the host: no other job there gets the same ones."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from mlcube_remote.commands.model import Argv, Options
from mlcube_remote.cube.model import Cube
from mlcube_remote.dispatch.preflight import records
from mlcube_remote.errors import BusyError, HostError, HostUnfitError, UsageError
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.quoting import quote_words

_TOO_FEW, _CONTENDED, _NOBODY_TO_ASK = 16, 18, 127
_WAITS = 5.0
"""Seconds between two looks for free GPUs."""
_TRIES = 10
"""How often others may be in the way who take GPUs at the same moment."""
_STEP = 0.3
"""Seconds, at the most, before the second try; before later ones there are more."""
_PATIENCE = 250.0
"""Seconds for an answer: questions to the driver and the engine, and others who ask at once."""

_ITEM = r"[a-z]+=[^\s,]+(?:,[^\s,=]+)*"
_GPUS = re.compile(rf'"?(?:|all|\d+|{_ITEM})(?:,{_ITEM})*"?', re.ASCII)
"""What Docker takes, as a line of CSV too."""


@attrs.frozen
class Device:
    """One GPU of a host."""

    index: str
    """Its number, as ``nvidia-smi`` counts."""
    uuid: str
    """Its name, which no two devices share."""


def wanted(
    options: Options, cube: Cube, platform: str, sections: Iterable[Mapping[str, Any]]
) -> int:
    """Return how many GPUs of its own a job asks for; 0 where none, or certain ones.

    Args:
        options: The command line's.
        cube: The cube.
        platform: The job's platform.
        sections: Platform settings that may say ``--gpus``: what they say is left alone.
    """
    text = options.gpus
    if text is None:
        if any("--gpus" in each for each in sections) or platform in {"singularity", "apptainer"}:
            return 0
        text = str(cube.accelerator_count or "").strip()
    return int(text) if text.isdecimal() else 0


def require_gpus(asked: str | None) -> None:
    """Refuse a ``--gpus`` that no engine would understand, before anything is sent.

    Raises:
        UsageError: It is neither a number, nor ``all``, nor names devices.
    """
    if asked is not None and not _GPUS.fullmatch(asked):
        raise UsageError(
            f"--gpus={asked}: expected a number, all, or device=0,1",
            hint=f"--gpus=device={asked}" if re.fullmatch(r"\d+(,\d+)+", asked) else None,
        )


def lease(
    connection: Connection,
    job_dir: str,
    count: int,
    *,
    engine: Argv = (),
    only: Sequence[str] = (),
    wait: Callable[[str], None] | None = None,
) -> tuple[Device, ...]:
    """Lease GPUs for a claimed job; they are its own until it is over.

    Args:
        connection: The host.
        job_dir: The job's directory there.
        count: How many.
        engine: The container engine's command, whose labels tell of others' devices.
        only: Numbers or UUIDs of those that may be taken; none: any of the host.
        wait: Wait for GPUs to become free; told why, once.

    Returns:
        The devices; none where the host has nobody who could tell of any.

    Raises:
        BusyError: Too few are free, or others take them all the time, and nobody wants to wait.
        HostUnfitError: There are not so many.
        HostError: They could not be leased.
    """
    tries = 0
    told = False
    while True:
        reply = connection.call(
            "mlcr_lease_gpus", job_dir, str(count), quote_words(engine), *only, timeout=_PATIENCE
        )
        if reply.code == _NOBODY_TO_ASK:
            return ()
        if reply.ok:
            found = [value.split() for key, value in records(reply) if key == "gpu"]
            return tuple(Device(index, uuid) for index, uuid in found)
        if reply.code == _CONTENDED and (tries := tries + 1) < _TRIES:
            # Whoever met us tries again as well: not at the same moment.
            time.sleep(random.uniform(0, tries * _STEP))  # noqa: S311 - nobody's secret
            continue
        busy = _busy(connection, reply, count)
        if wait is None:
            raise busy
        if not told:
            wait(busy.reason)
            told = True
        tries = 0
        time.sleep(_WAITS)


def _busy(connection: Connection, reply: Reply, count: int) -> BusyError:
    """Return why GPUs cannot be had now.

    Raises:
        HostUnfitError: There are not so many.
        HostError: It is not that others have them.
    """
    top = f"mlcube-remote hosts top {connection.name}"
    if reply.code == _CONTENDED:
        return BusyError(
            connection.name,
            f"others took GPUs there at the same moment, each of the {_TRIES} times it was tried",
            hint=f"run it again, wait for them (--wait), or see who has GPUs: {top}",
        )
    if reply.code != _TOO_FEW:
        said = reply.stderr.decode("utf-8", "replace").strip() or f"status {reply.code}"
        raise HostError(connection.name, f"GPUs could not be leased: {said}")
    facts = dict(records(reply))
    free, total = int(facts.get("free", 0)), int(facts.get("total", 0))
    if total < count:
        raise HostUnfitError(
            connection.name,
            f"the job asks for {count} GPUs, and there are {total} that it may have",
            hint="ask for fewer (--gpus), or choose another host",
        )
    return BusyError(
        connection.name,
        f"{free} of {total} GPUs are free, and the job asks for {count}",
        hint=f"wait for them (--wait), or see who has them: {top}",
    )


def spelt(platform: str, devices: Sequence[Device]) -> str:
    """Return the devices as ``--gpus`` has them for a platform."""
    if platform == "podman":
        # What CDI surely knows are the numbers.
        return f"device={','.join(device.index for device in devices)}"
    names = f"device={','.join(device.uuid for device in devices)}"
    # Docker reads the option as a line of CSV.
    return f'"{names}"' if platform == "docker" and len(devices) > 1 else names
