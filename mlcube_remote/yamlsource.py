# SPDX-License-Identifier: Apache-2.0
"""YAML files that remember where everything stands, so that an error can name the line.

Read with PyYAML's safe tags only. What YAML allows but people get wrong is refused here: duplicate
keys, tabs, aliases that explode, several documents in a file.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any

import attrs
import yaml

from mlcube_remote.errors import UsageError

MAX_DEPTH = 50
"""Nesting beyond this is no configuration."""

MAX_NODES = 100_000
"""Values after aliases are expanded; a few lines of aliases can mean billions."""

Key = Hashable
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that ``word`` was probably meant to be, if any is close."""
    near = difflib.get_close_matches(word, list(candidates), 1, 0.6)
    return near[0] if near else None


def shown_path(path: Path) -> str:
    """Return a path as people expect it in a message: relative when it is below here."""
    absolute = Path(os.path.abspath(path))
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


@attrs.frozen
class Position:
    """A place in a file, counted from 1."""

    line: int
    column: int


@attrs.frozen(kw_only=True)
class Document:
    """One YAML file: its data, and where each key of it stands."""

    path: Path
    data: Any
    """Plain dictionaries, lists and scalars; ``None`` for an empty file."""
    positions: dict[tuple[Key, ...], Position]

    def position(self, keys: Iterable[Key] = ()) -> Position:
        """Return where a key stands, or the closest of its parents."""
        wanted = tuple(keys)
        while wanted and wanted not in self.positions:
            wanted = wanted[:-1]
        return self.positions.get(wanted, Position(1, 1))

    def where(self, keys: Iterable[Key] = ()) -> str:
        """Return ``FILE:LINE:COLUMN`` of a key, given the keys that lead to it."""
        at = self.position(keys)
        return f"{shown_path(self.path)}:{at.line}:{at.column}"


def load(path: Path, *, error: type[UsageError]) -> Document:
    """Read a YAML file.

    Args:
        path: The file.
        error: What to raise for a file that cannot be read or is not good YAML.

    Raises:
        UsageError: As ``error``; the message begins with ``FILE:LINE:COLUMN`` where there is one.
    """
    name = shown_path(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError as problem:
        raise error(f"{name}: no such file") from problem
    except OSError as problem:
        raise error(f"{name}: cannot be read: {problem.strerror}") from problem
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise error(f"{name}:{line}: expected UTF-8 text") from problem
    return parse(text, path=path, error=error)


def parse(text: str, *, path: Path, error: type[UsageError]) -> Document:
    """Read YAML text that stands for the file ``path``; see :func:`load`."""
    return _Reader(path, error).read(text)


@attrs.define
class _Reader:
    path: Path
    error: type[UsageError]
    positions: dict[tuple[Key, ...], Position] = attrs.field(factory=dict)
    _nodes: int = 0
    _construct: Callable[[yaml.Node], Any] = attrs.field(default=lambda _: None, init=False)
    _flatten: Callable[[yaml.MappingNode], None] = attrs.field(default=lambda _: None, init=False)

    def fail(self, mark: Any, problem: str) -> UsageError:
        name = shown_path(self.path)
        if mark is None:
            return self.error(f"{name}: {problem}")
        return self.error(f"{name}:{mark.line + 1}:{mark.column + 1}: {problem}")

    def read(self, text: str) -> Document:
        loader = _Loader(text)
        self._construct = loader.construct_object
        self._flatten = loader.flatten_mapping
        try:
            node = loader.get_single_node()
            data = None if node is None else self._value(node, (), 0)
        except yaml.MarkedYAMLError as problem:
            mark = problem.problem_mark or problem.context_mark
            raise self.fail(mark, self._explain(problem, mark, text)) from problem
        except yaml.YAMLError as problem:
            raise self.fail(None, f"is not YAML: {problem}") from problem
        except (ValueError, OverflowError, RecursionError) as problem:
            raise self.fail(None, f"holds a value that cannot be read: {problem}") from problem
        finally:
            loader.dispose()
        return Document(path=self.path, data=data, positions=self.positions)

    def _explain(self, problem: yaml.MarkedYAMLError, mark: Any, text: str) -> str:
        lines = text.splitlines()
        line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
        said = problem.problem or str(problem)
        if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in said:
            return "a tab where YAML wants spaces; indent with spaces"
        if "expected a single document" in str(problem) or "but found another document" in said:
            return "a second document begins here; expected one per file"
        if "mapping values are not allowed" in said:
            return "a ':' that begins no value here; quote the text, or check the indentation"
        if "could not determine a constructor" in said:
            return f"the tag {said.rpartition(' ')[2]} is not allowed here"
        if "expected ',' or ']'" in said:
            return f"is not YAML: {said}; put a name with brackets into quotes"
        return f"is not YAML: {said}"

    def _value(self, node: yaml.Node, path: tuple[Key, ...], depth: int) -> Any:
        self._nodes += 1
        if depth > MAX_DEPTH:
            raise self.fail(node.start_mark, f"nested more than {MAX_DEPTH} deep")
        if self._nodes > MAX_NODES:
            raise self.fail(node.start_mark, f"more than {MAX_NODES:,} values (aliases?)")
        self.positions.setdefault(path, _position(node.start_mark))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [
                self._value(item, (*path, index), depth + 1)
                for index, item in enumerate(node.value)
            ]
        return self._construct(node)

    def _mapping(self, node: yaml.MappingNode, path: tuple[Key, ...], depth: int) -> dict[Key, Any]:
        own = {id(key) for key, _ in node.value}
        self._refuse_tag(node)
        self._flatten(node)
        result: dict[Key, Any] = {}
        written: dict[Key, int] = {}
        for key_node, value_node in node.value:
            key = self._construct(key_node)
            if not isinstance(key, Hashable):
                raise self.fail(key_node.start_mark, "expected a plain key")
            inner = (*path, key)
            if id(key_node) in own:
                if key in written:
                    raise self.fail(
                        key_node.start_mark,
                        f"duplicate key {key!r} (first on line {written[key]})",
                    )
                written[key] = key_node.start_mark.line + 1
            self.positions[inner] = _position(key_node.start_mark)
            result[key] = self._value(value_node, inner, depth + 1)
        return result

    def _refuse_tag(self, node: yaml.MappingNode) -> None:
        if node.tag != "tag:yaml.org,2002:map":
            raise self.fail(node.start_mark, f"the tag {node.tag!r} is not allowed here")


def _position(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)
