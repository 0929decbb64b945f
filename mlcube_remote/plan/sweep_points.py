# SPDX-License-Identifier: Apache-2.0
"""Turn ``--sweep``, ``--sweep-file`` and ``--shard`` into a list of points, one per job.

The same options always give the same points, in the same order and with the same names, so that a
run can be continued later.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote import yamlsource
from mlcube_remote.errors import UsageError
from mlcube_remote.plan.sweep_ranges import expand_axis, is_range, parse_axis
from mlcube_remote.plan.sweep_samples import sample_points

MAX_POINTS = 10_000
"""Maximum number of jobs of one run; products grow quickly."""

Values = Mapping[str, str]
"""Name → value, in the order of the options."""


@attrs.frozen(kw_only=True)
class SweepPoint:
    """The values of one job of a sweep, or of one shard."""

    name: str
    """The job's name: its number, with leading zeros so that names sort like numbers."""
    values: Values
    """The values as the user wrote them."""
    items: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """For a shard: parameter → its piece of the list."""
    places: Mapping[str, str] = attrs.field(factory=dict, eq=False)
    """Name → its position in the ``--sweep-file``."""

    def given(self, name: str) -> str:
        """Return where a name comes from, as the start of a message."""
        return f"{self.places[name]}: {name}" if name in self.places else f"--sweep {name}"


@attrs.frozen(kw_only=True)
class Sample:
    """How many points of a sweep to choose at random."""

    count: int
    seed: int
    """The same seed gives the same points."""


def sweep_points(
    axes: Mapping[str, Sequence[str]], file: Path | None = None, sample: Sample | None = None
) -> tuple[SweepPoint, ...]:
    """Return every combination of values; the name that comes last changes fastest.

    Args:
        axes: Name → values and ranges, as the user wrote them.
        file: The ``--sweep-file``: a mapping of names to lists, for every combination, or a list
            of mappings, each of them a point.
        sample: Choose points at random; ``None``: all.

    Raises:
        UsageError: A value is wrong; the message says where.
    """
    read = None if file is None else _read(file)
    listed: list[Values] = [{}] if read is None else read.points()
    places = {} if read is None else read.places()
    for name, values in axes.items():
        _check_axis(name, values)
        if file is not None and any(name in point for point in listed):
            shown = yamlsource.shown_path(file)
            raise UsageError(f"--sweep {name}: {shown} has values for {name}, too")
    combined = _combine(axes, listed) if sample is None else _sample(axes, listed, sample)
    return tuple(
        SweepPoint(name=name, values=values, places=places)
        for name, values in zip(_job_names(len(combined)), combined, strict=True)
    )


def _combine(axes: Mapping[str, Sequence[str]], listed: Sequence[Values]) -> Sequence[Values]:
    """Return every combination of values with each listed point."""
    expanded = {name: expand_axis(name, values) for name, values in axes.items()}
    _check_count(len(listed), *map(len, expanded.values()))
    return [
        {**point, **dict(zip(expanded, chosen, strict=True))}
        for point in listed
        for chosen in itertools.product(*expanded.values())
    ]


def _sample(
    axes: Mapping[str, Sequence[str]], listed: Sequence[Values], sample: Sample
) -> Sequence[Values]:
    _check_count(sample.count)
    items = {name: parse_axis(name, values) for name, values in axes.items()}
    return sample_points(items, listed, count=sample.count, seed=sample.seed)


def parse_shard(option: str, pieces: int) -> tuple[SweepPoint, ...]:
    """Return one point for each piece of a list; the pieces have almost the same size.

    Args:
        option: The value of ``--shard``: ``NAME=FILE``, one item per line, or
            ``NAME=ITEM,ITEM…``.
        pieces: Number of pieces; a shorter list is split into single items.

    Raises:
        UsageError: The option is malformed, the file does not exist, or the list is empty.
    """
    name, equals, text = option.partition("=")
    if not equals or not name or not text:
        raise UsageError(
            f"--shard {option}: expected NAME=FILE or NAME=ITEM,ITEM",
            hint="for example: --shard data=files.txt, with one item per line",
        )
    items = _read_items(name, text)
    count = min(pieces, len(items))
    ends = [number * len(items) // count for number in range(count + 1)]
    return tuple(
        SweepPoint(
            name=label,
            values={name: f"{begin + 1}-{end} of {len(items)}"},
            items={name: tuple(items[begin:end])},
        )
        for label, (begin, end) in zip(_job_names(count), itertools.pairwise(ends), strict=True)
    )


def _check_axis(name: str, values: Sequence[str]) -> None:
    """Reject values that are empty or listed twice."""
    if not values or "" in values:
        text = ",".join(values)
        found = "an empty value" if text else "no value"
        raise UsageError(
            f"--sweep {name}={text}: {found}; expected NAME=VALUE,VALUE",
            hint='for example: --sweep lr=0.1,0.01; an empty text is "" in quotes: lr=\'""\'',
        )
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise UsageError(f"--sweep {name}: {value} is listed twice")
        seen.add(value)


def _check_count(*factors: int) -> None:
    """Reject so many combinations that they can only be a mistake."""
    count = math.prod(factors)
    if count > MAX_POINTS:
        raise UsageError(f"the sweep has {count:,} points; expected at most {MAX_POINTS:,}")


def _job_names(count: int) -> list[str]:
    width = max(2, len(str(count)))
    return [f"{number:0{width}}" for number in range(1, count + 1)]


def _read_items(name: str, text: str) -> list[str]:
    if os.path.isfile(Path(text).expanduser()):
        try:
            lines = Path(text).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as problem:
            raise UsageError(f"--shard {name}: {text} cannot be read: {problem}") from problem
        items = [line.strip() for line in lines]
    elif "," in text:
        items = [item.strip() for item in text.split(",")]
    else:
        raise UsageError(
            f"--shard {name}={text}: no such file",
            hint="expected a file with one item per line, or items separated by commas",
        )
    items = [item for item in items if item]
    if not items:
        raise UsageError(f"--shard {name}={text}: the list is empty")
    if any("\0" in item for item in items):
        raise UsageError(f"--shard {name}={text}: an item contains a NUL character")
    return items


def _read(path: Path) -> _SweepFile:
    return _SweepFile(yamlsource.load(path, error=UsageError))


@attrs.frozen
class _SweepFile:
    """A ``--sweep-file``."""

    document: yamlsource.YamlDocument

    def fail(self, path: tuple[yamlsource.Key, ...], problem: str) -> UsageError:
        return UsageError(f"{self.document.where(path)}: {problem}")

    def points(self) -> list[Values]:
        data = self.document.data
        if isinstance(data, Mapping) and data:
            return self.product(data)
        if isinstance(data, list) and data:
            return self.listed(data)
        raise self.fail((), "expected names with lists of values, or a list of points")

    def places(self) -> dict[str, str]:
        """Return the first position of each name in a valid file."""
        data = self.document.data
        first: tuple[yamlsource.Key, ...] = (0,) if isinstance(data, list) else ()
        names = data[0] if isinstance(data, list) else data
        return {name: self.document.where((*first, name)) for name in names}

    def product(self, data: Mapping[Any, Any]) -> list[Values]:
        axes: dict[str, list[str]] = {}
        for key, given in data.items():
            name = self.name((key,), key)
            values = given if isinstance(given, list) else [given]
            if not values:
                raise self.fail((key,), f"{name}: the list is empty")
            paths = [
                (key, index) if isinstance(given, list) else (key,) for index in range(len(values))
            ]
            texts: dict[str, None] = {}
            for path, value in zip(paths, values, strict=True):
                text = self.value(path, name, value)
                if text in texts:
                    raise self.fail(path, f"{name}: {text} is listed twice")
                texts[text] = None
            axes[name] = list(texts)
        _check_count(*map(len, axes.values()))
        return [
            dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*axes.values())
        ]

    def listed(self, data: Sequence[Any]) -> list[Values]:
        _check_count(len(data))
        seen: dict[frozenset[tuple[str, str]], int] = {}
        points: list[Values] = []
        for index, given in enumerate(data):
            if not isinstance(given, Mapping) or not given:
                raise self.fail((index,), "expected a point: a mapping of names to values")
            point = {
                self.name((index, key), key): self.value((index, key), str(key), value)
                for key, value in given.items()
            }
            if points and point.keys() != points[0].keys():
                odd = next(iter(point.keys() ^ points[0].keys()))
                who = "this point has" if odd in point else "the first point has"
                raise self.fail((index,), f"every point has the same names; only {who} {odd}")
            first = seen.setdefault(frozenset(point.items()), index)
            if first != index:
                line = self.document.position((first,)).line
                raise self.fail((index,), f"this point is listed twice (first on line {line})")
            points.append(point)
        return points

    def name(self, path: tuple[yamlsource.Key, ...], key: Any) -> str:
        if not isinstance(key, str) or not key:
            raise self.fail(path, f"expected a name, got {key!r}")
        return key

    def value(self, path: tuple[yamlsource.Key, ...], name: str, value: Any) -> str:
        """Return the value as written in the file: 0.10 is not 0.1, and yes is not a boolean."""
        if isinstance(value, (list, Mapping)) or value is None or value == "":
            quoted = "; write a list in quotes" if isinstance(value, list) else ""
            raise self.fail(path, f"{name}: expected a value, got {_kind(value)}{quoted}")
        text = self.document.written.get(path, value)
        if is_range(str(text)):
            problem = f"{name}: ranges are for the command line: --sweep {name}={text}"
            raise self.fail(path, problem)
        if "\0" in str(text):
            raise self.fail(path, f"{name}: the value contains a NUL character")
        return str(text)


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "a mapping" if value else "nothing"
