# SPDX-License-Identifier: Apache-2.0
"""``--sample`` and ``--seed``: random points of a sweep, which a rerun finds again."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import attrs

from mlcube_remote.app.options import RunOptions, SweepOptions
from mlcube_remote.errors import RecordError, UsageError
from mlcube_remote.runs.ids import is_run_id
from mlcube_remote.runs.store import RUN, Store

if TYPE_CHECKING:
    from mlcube_remote.plan.sweep_points import Sample

_SEEDS = 2**32


def with_seed(options: RunOptions) -> RunOptions:
    """Return the options with a seed, if points are sampled and they have none.

    It is that of the run that is continued, or a new one.

    Raises:
        UsageError: There is nothing to sample from, or a number is too small.
    """
    sweep = options.sweep
    check_sample(sweep)
    if sweep.sample is None or sweep.seed is not None:
        return options
    seed = _recorded_seed(options.run_id)
    chosen = secrets.randbelow(_SEEDS) if seed is None else seed
    return attrs.evolve(options, sweep=attrs.evolve(sweep, seed=chosen))


def _recorded_seed(run_id: str | None) -> int | None:
    """Return the seed of a recorded run, so that continuing it gives the same jobs."""
    if run_id is None or not is_run_id(run_id):
        return None
    try:
        began = (Store().read(run_id, RUN) or {}).get("began", {})
    except RecordError:
        return None  # the record is written again
    seed = began.get("options", {}).get("seed")
    return seed if isinstance(seed, int) else None


def check_sample(sweep: SweepOptions) -> None:
    """Refuse options that would have no effect.

    Raises:
        UsageError: There is nothing to sample from, or a number is too small.
    """
    for option, number, least in (("sample", sweep.sample, 1), ("seed", sweep.seed, 0)):
        if number is not None and number < least:
            raise UsageError(f"--{option}={number}: expected at least {least}")
    if sweep.sample is not None and not (sweep.axes or sweep.file):
        raise UsageError(
            "--sample: there is no sweep to choose points from",
            hint="for example: --sweep lr=log:1e-4..1e-1 --sample=20",
        )
    if sweep.seed is not None and sweep.sample is None:
        raise UsageError("--seed: no points are chosen at random", hint="add --sample=N")


def to_sample(sweep: SweepOptions) -> Sample | None:
    """Return the sample that the options describe; ``None``: every combination."""
    from mlcube_remote.plan.sweep_points import Sample  # noqa: PLC0415 - slow to import

    if sweep.sample is None:
        return None
    return Sample(count=sweep.sample, seed=sweep.seed or 0)
