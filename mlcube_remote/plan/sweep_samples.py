# SPDX-License-Identifier: Apache-2.0
"""Random search: points that are sampled from lists and ranges.

The same seed gives the same points with each version of Python, because only ``random()`` of the
generator is used, whose numbers never change.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from mlcube_remote.errors import UsageError
from mlcube_remote.plan.sweep_ranges import Item, Range

T = TypeVar("T")

_TRIES = 100
"""Number of random tries for each point that is asked for."""


def sample_points(
    axes: Mapping[str, Sequence[Item]],
    listed: Sequence[Mapping[str, str]],
    *,
    count: int,
    seed: int,
) -> list[dict[str, str]]:
    """Return different points in a random order.

    Args:
        axes: Name → values and ranges; each name is sampled independently.
        listed: Points of a file, to which the values are added; one of them is chosen.
        count: Number of points.
        seed: The same seed gives the same points.

    Raises:
        UsageError: There are fewer different points.
    """
    points = _points(axes, listed, random.Random(seed))  # noqa: S311 - no secret
    found: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for _ in range(count * _TRIES):
        point = next(points)
        found.setdefault(tuple(point.items()), point)
        if len(found) == count:
            return list(found.values())
    raise UsageError(
        f"--sample={count}: a random choice has found only {len(found)} combinations of the values",
        hint="omit --sample to run all of them, or give ranges: --sweep lr=log:1e-4..1e-1",
    )


def _points(
    axes: Mapping[str, Sequence[Item]],
    listed: Sequence[Mapping[str, str]],
    numbers: random.Random,
) -> Iterator[dict[str, str]]:
    while True:
        point = dict(_choose(listed, numbers))
        for name, items in axes.items():
            item = _choose(items, numbers)
            point[name] = item.sample(numbers.random()) if isinstance(item, Range) else item
        yield point


def _choose(items: Sequence[T], numbers: random.Random) -> T:
    return items[int(numbers.random() * len(items))]
