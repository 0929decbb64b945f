# SPDX-License-Identifier: Apache-2.0
"""Small pictures of numbers: parameters against metrics, and curves of steps.

The numbers of a picture are scaled here; the template draws them as SVG.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs

WIDTH, HEIGHT, MARGIN = 260.0, 170.0, 14.0
"""Size of a picture, and of its border, in the units of its view box."""

Point = tuple[float, float]


@attrs.frozen(kw_only=True)
class Series:
    """One curve, or the points of one picture."""

    name: str
    points: tuple[tuple[float, float, str], ...]
    """(x, y, text) of each point, scaled to the picture."""

    @property
    def path(self) -> str:
        """The points as SVG writes them."""
        return " ".join(f"{x:g},{y:g}" for x, y, _ in self.points)


@attrs.frozen(kw_only=True)
class Chart:
    """One picture."""

    title: str
    x_label: str
    y_label: str
    x_range: tuple[str, str]
    y_range: tuple[str, str]
    series: tuple[Series, ...]


def draw(
    title: str,
    labels: tuple[str, str],
    series: Mapping[str, Sequence[Point]],
    names: Sequence[str] = (),
) -> Chart | None:
    """Return a picture of some series; ``None`` if they have no point.

    Args:
        title: Its title.
        labels: What x and y are.
        series: Name → points; those that are not finite are left out.
        names: Text for the values of x if these are numbers of categories.
    """
    finite = {
        name: [point for point in points if all(map(math.isfinite, point))]
        for name, points in series.items()
    }
    every = [point for points in finite.values() for point in points]
    if not every:
        return None
    xs, ys = ([point[axis] for point in every] for axis in (0, 1))
    x_low, x_high, y_low, y_high = min(xs), max(xs), min(ys), max(ys)
    drawn = tuple(
        Series(
            name=name,
            points=tuple(
                (
                    MARGIN + _scale(x, x_low, x_high) * (WIDTH - 2 * MARGIN),
                    HEIGHT - MARGIN - _scale(y, y_low, y_high) * (HEIGHT - 2 * MARGIN),
                    f"{_text(x, names)}: {y:.6g}",
                )
                for x, y in points
            ),
        )
        for name, points in finite.items()
    )
    return Chart(
        title=title,
        x_label=labels[0],
        y_label=labels[1],
        x_range=(_text(x_low, names), _text(x_high, names)),
        y_range=(f"{y_low:.6g}", f"{y_high:.6g}"),
        series=drawn,
    )


def _scale(value: float, low: float, high: float) -> float:
    # Halves, because the difference of two large numbers may be infinite.
    span = high / 2 - low / 2
    return (value / 2 - low / 2) / span if span else 0.5


def _text(value: float, names: Sequence[str]) -> str:
    return names[int(value)] if names else f"{value:.6g}"
