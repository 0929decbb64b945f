# SPDX-License-Identifier: Apache-2.0
"""Lease GPUs on a host to one job, so that no other job gets them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from mlcube_remote.budgets import parse_whole
from mlcube_remote.commands.model import Argv
from mlcube_remote.errors import BusyError, HostError, HostUnfitError
from mlcube_remote.plan.gpu_requests import Device
from mlcube_remote.remote import status
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.quoting import quote_words

_POLL_INTERVAL_S = 5.0
"""Interval between two checks for free GPUs."""
_TRIES = 10
"""Number of tries while other jobs lease GPUs at the same moment."""
_STEP_S = 0.3
"""Maximum delay before the second try; each later delay is longer by as much."""
_TIMEOUT_S = 250.0
"""Time for an answer: the host asks the driver and the engine, and may wait for other jobs."""


def lease_gpus(
    connection: Connection,
    job_dir: str,
    count: int,
    *,
    engine: Argv = (),
    only: Sequence[str] = (),
    wait: Callable[[str], None] | None = None,
) -> tuple[Device, ...]:
    """Lease GPUs to a claimed job until it is over.

    Args:
        connection: The host.
        job_dir: The job's directory on the host.
        count: Number of GPUs.
        engine: The container engine's command; labels of its containers name leased GPUs.
        only: Indexes or UUIDs of the GPUs that may be leased; empty: all of the host.
        wait: Called once with the reason if too few GPUs are free; then this function waits for
            them. ``None``: do not wait.

    Returns:
        The devices; empty if the host has no driver to ask.

    Raises:
        BusyError: Too few GPUs are free, and ``wait`` is ``None``.
        HostUnfitError: The host has fewer GPUs than ``count``.
        HostError: The lease failed.
    """
    tries = 0
    is_reported = False
    while True:
        reply = connection.call(
            "mlcr_lease_gpus", job_dir, str(count), quote_words(engine), *only, timeout=_TIMEOUT_S
        )
        if reply.code == status.NO_PROGRAM:
            return ()
        if reply.ok:
            found = [value.split() for key, value in reply.records() if key == "gpu"]
            return tuple(Device(index, uuid) for index, uuid in found)
        if reply.code == status.GPUS_CONTENDED and (tries := tries + 1) < _TRIES:
            # The other job tries again too, so wait for a random time.
            time.sleep(random.uniform(0, tries * _STEP_S))  # noqa: S311 - not a secret
            continue
        busy = _busy(connection, reply, count)
        if wait is None:
            raise busy
        if not is_reported:
            wait(busy.reason)
            is_reported = True
        tries = 0
        time.sleep(_POLL_INTERVAL_S)


def _busy(connection: Connection, reply: Reply, count: int) -> BusyError:
    """Return the error for GPUs that other jobs hold.

    Raises:
        HostUnfitError: The host has fewer GPUs than ``count``.
        HostError: The lease failed for another reason.
    """
    top = f"mlcube-remote hosts top {connection.name}"
    if reply.code == status.GPUS_CONTENDED:
        return BusyError(
            connection.name,
            f"other jobs leased GPUs at the same moment in each of {_TRIES} tries",
            hint=f"run it again, wait for free GPUs (--wait), or see who uses them: {top}",
        )
    if reply.code != status.TOO_FEW_GPUS:
        raise HostError(connection.name, f"GPUs could not be leased: {reply.message}")
    facts = dict(reply.records())
    try:
        free, total = (parse_whole(facts.get(key, "0")) for key in ("free", "total"))
    except ValueError as problem:
        raise HostError(connection.name, f"GPUs could not be leased: {problem}") from problem
    if total < count:
        raise HostUnfitError(
            connection.name,
            f"the job asks for {count} GPUs, and the host has {total} for it",
            hint="ask for fewer (--gpus), or use another host",
        )
    return BusyError(
        connection.name,
        f"{free} of {total} GPUs are free, and the job asks for {count}",
        hint=f"wait for them (--wait), or see who uses them: {top}",
    )
