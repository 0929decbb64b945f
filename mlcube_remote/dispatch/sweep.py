# SPDX-License-Identifier: Apache-2.0
"""What was asked with ``--sweep``, ``--sweep-file`` and ``--shard``, as a list of points.

A point is what one job is given. Points come in one order for the same words, and so do their
names: going on with a run later means the same jobs.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote import yamlsource
from mlcube_remote.errors import UsageError

MAX_POINTS = 10_000
"""Jobs that one run may have; products grow quickly."""

_EXAMPLE = "for example: --sweep lr=0.1,0.01"

Values = Mapping[str, str]
"""Name → value, in the order in which they were asked for."""


@attrs.frozen(kw_only=True)
class Point:
    """What one job of a sweep, or one shard, is given."""

    name: str
    """The job's name: its number, with zeros in front so that names sort as numbers do."""
    values: Values
    """What it is given, in the user's words."""
    items: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Of a shard: parameter → its piece of the list."""
    places: Mapping[str, str] = attrs.field(factory=dict, eq=False)
    """Name → the place in the ``--sweep-file`` that gave it."""

    def given(self, name: str) -> str:
        """Return where a name was given, as the message about it begins."""
        return f"{self.places[name]}: {name}" if name in self.places else f"--sweep {name}"


def swept(options: Iterable[str], file: Path | None = None) -> tuple[Point, ...]:
    """Return the points of a sweep: every combination, what was named last changing fastest.

    Args:
        options: What followed each ``--sweep``: ``NAME=VALUE,VALUE…``.
        file: The ``--sweep-file``: a mapping of names to lists, of which every combination
            counts, or a list of mappings, each of them a point.

    Raises:
        UsageError: There is a mistake in them; the message says where.
    """
    read = None if file is None else _read(file)
    listed: list[Values] = [{}] if read is None else read.points()
    places = {} if read is None else read.places()
    axes: dict[str, tuple[str, ...]] = {}
    for option in options:
        name, values = _axis(option)
        if name in axes:
            raise UsageError(f"--sweep {name}: is given twice", hint=f"once: {name}=A,B,C")
        if file is not None and any(name in point for point in listed):
            shown = yamlsource.shown_path(file)
            raise UsageError(f"--sweep {name}: {shown} has values for {name}, too")
        axes[name] = values
    _require_bearable(len(listed), *map(len, axes.values()))
    combined = [
        {**point, **dict(zip(axes, chosen, strict=True))}
        for point in listed
        for chosen in itertools.product(*axes.values())
    ]
    return tuple(
        Point(name=name, values=values, places=places)
        for name, values in zip(_names(len(combined)), combined, strict=True)
    )


def sharded(option: str, pieces: int) -> tuple[Point, ...]:
    """Return one point for each piece of a list, the pieces as equal as they can be.

    Args:
        option: What followed ``--shard``: ``NAME=FILE``, one item a line, or ``NAME=ITEM,ITEM…``.
        pieces: How many; a list that has fewer items is split into as many as it has.

    Raises:
        UsageError: It is not of that form, there is no such file, or nothing is in it.
    """
    name, equals, text = option.partition("=")
    if not equals or not name or not text:
        raise UsageError(
            f"--shard {option}: expected NAME=FILE or NAME=ITEM,ITEM",
            hint="for example: --shard data=files.txt, which has one item a line",
        )
    items = _items(name, text)
    count = min(pieces, len(items))
    ends = [number * len(items) // count for number in range(count + 1)]
    return tuple(
        Point(
            name=label,
            values={name: f"{begin + 1}-{end} of {len(items)}"},
            items={name: tuple(items[begin:end])},
        )
        for label, (begin, end) in zip(_names(count), itertools.pairwise(ends), strict=True)
    )


def _axis(option: str) -> tuple[str, tuple[str, ...]]:
    name, equals, text = option.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"--sweep {option}: expected NAME=VALUE,VALUE", hint=_EXAMPLE)
    values = tuple(value.strip() for value in text.split(","))
    if "" in values:
        found = "no value" if not text.strip() else "an empty value"
        raise UsageError(f"--sweep {option}: {found}; expected NAME=VALUE,VALUE", hint=_EXAMPLE)
    for value in values:
        if values.count(value) > 1:
            raise UsageError(f"--sweep {name}: {value} is there twice")
    return name.strip(), values


def _require_bearable(*factors: int) -> None:
    """Refuse so many combinations that they can only be a mistake."""
    count = math.prod(factors)
    if count > MAX_POINTS:
        raise UsageError(f"the sweep has {count:,} points; expected {MAX_POINTS:,} at the most")


def _names(count: int) -> list[str]:
    width = max(2, len(str(count)))
    return [f"{number:0{width}}" for number in range(1, count + 1)]


def _items(name: str, text: str) -> list[str]:
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
            hint="expected a file with one item a line, or items with commas between",
        )
    items = [item for item in items if item]
    if not items:
        raise UsageError(f"--shard {name}={text}: the list is empty")
    if any("\0" in item for item in items):
        raise UsageError(f"--shard {name}={text}: an item holds a NUL character")
    return items


def _read(path: Path) -> _File:
    return _File(yamlsource.load(path, error=UsageError))


@attrs.frozen
class _File:
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
        """Return where each name of a file without mistakes stands first."""
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
            axes[name] = []
            for path, value in zip(paths, values, strict=True):
                text = self.value(path, name, value)
                if text in axes[name]:
                    raise self.fail(path, f"{name}: {text} is there twice")
                axes[name].append(text)
        _require_bearable(*map(len, axes.values()))
        return [
            dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*axes.values())
        ]

    def listed(self, data: Sequence[Any]) -> list[Values]:
        _require_bearable(len(data))
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
                raise self.fail((index,), f"this point is there twice (first on line {line})")
            points.append(point)
        return points

    def name(self, path: tuple[yamlsource.Key, ...], key: Any) -> str:
        if not isinstance(key, str) or not key:
            raise self.fail(path, f"expected a name, got {key!r}")
        return key

    def value(self, path: tuple[yamlsource.Key, ...], name: str, value: Any) -> str:
        """Return the value as it stands in the file: 0.10 is not 0.1, and yes is no boolean."""
        if isinstance(value, (list, Mapping)) or value is None or value == "":
            raise self.fail(path, f"{name}: expected a value, got {_kind(value)}")
        text = self.document.written.get(path, value)
        if "\0" in str(text):
            raise self.fail(path, f"{name}: the value holds a NUL character")
        return str(text)


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "a mapping" if value else "nothing"
