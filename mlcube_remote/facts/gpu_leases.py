# SPDX-License-Identifier: Apache-2.0
"""GPUs for one job alone, leased on the host: no other job there gets the same ones."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from mlcube_remote.commands.model import Argv
from mlcube_remote.errors import BusyError, HostError, HostUnfitError
from mlcube_remote.facts.probe import records
from mlcube_remote.plan.gpu_requests import Device
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


def lease_gpus(
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
            "mlcr_lease", job_dir, str(count), quote_words(engine), *only, timeout=_PATIENCE
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
