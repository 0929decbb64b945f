# SPDX-License-Identifier: Apache-2.0
"""Read YAML files and keep the position of each key, so that an error can name the line.

Only YAML's standard scalar tags are read. Common mistakes that YAML allows are refused: duplicate
keys, tabs, several documents in a file. A file from another person can neither crash the reader
nor make it use much memory or time; :mod:`mlcube_remote.budgets` has the limits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Hashable, Iterable
from pathlib import Path
from typing import Any

import attrs
import yaml
from yaml.reader import Reader

from mlcube_remote.budgets import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_KEY_CHARS,
    MAX_NODES,
    MAX_NUMBER_CHARS,
    MAX_VALUES,
    Budget,
    OverBudgetError,
)
from mlcube_remote.errors import UsageError

SHALLOW_CHARS = 2048
"""Length up to which a text cannot be nested too deep for libyaml, so that one pass is enough."""

MAX_TAG_DIRECTIVES = 10
"""Number of ``%TAG`` lines; libyaml compares each with all others."""

Key = Hashable
_Fail = Callable[[Any, str], UsageError]
"""Makes the error for a mark and a problem."""

_TAG = "tag:yaml.org,2002:"
_PLAIN = frozenset(
    _TAG + name for name in ("bool", "float", "int", "null", "str", "timestamp", "value")
)
_UNPRINTABLE = Reader.NON_PRINTABLE
_TAG_DIRECTIVE = re.compile(r"(?:\A|[\n\r\x85\u2028\u2029])%TAG")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def shown_path(path: Path) -> str:
    """Return a path for messages: relative if it is inside the working directory."""
    absolute = Path(os.path.abspath(path))
    cwd = Path.cwd()
    return str(absolute.relative_to(cwd)) if absolute.is_relative_to(cwd) else str(absolute)


@attrs.frozen
class Position:
    """A position in a file, counted from 1."""

    line: int
    column: int


@attrs.frozen(kw_only=True)
class YamlDocument:
    """One YAML file: its data, and the position of each key."""

    path: Path
    data: Any
    """Plain dictionaries, lists and scalars; ``None`` for an empty file."""
    positions: dict[tuple[Key, ...], Position]
    written: dict[tuple[Key, ...], str] = attrs.field(factory=dict)
    """The text in the file of each value that YAML does not read as text.

    YAML changes such values: it reads ``1.10`` as 1.1, ``022`` as 18 and ``yes`` as true.
    """

    def position(self, keys: Iterable[Key] = ()) -> Position:
        """Return the position of a key, or of its closest parent in the file."""
        path = tuple(keys)
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions.get(path, Position(1, 1))

    def where(self, keys: Iterable[Key] = ()) -> str:
        """Return ``FILE:LINE:COLUMN`` of a key, given the path of keys to it."""
        position = self.position(keys)
        return f"{shown_path(self.path)}:{position.line}:{position.column}"


def load(path: Path, *, error: type[UsageError], max_bytes: int = MAX_BYTES) -> YamlDocument:
    """Read a YAML file.

    Args:
        path: The file.
        error: The class of the error to raise.
        max_bytes: Size of the file, and of all its texts after aliases are expanded.

    Raises:
        UsageError: The file cannot be read or is not valid YAML. It is an instance of ``error``;
            its message starts with ``FILE:LINE:COLUMN`` if the position is known.
    """
    name = shown_path(path)
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except FileNotFoundError as problem:
        raise error(f"{name}: no such file") from problem
    except OSError as problem:
        raise error(f"{name}: cannot be read: {problem.strerror}") from problem
    if len(raw) > max_bytes:
        raise error(f"{name}: expected a file of at most {max_bytes // 2**20} MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise error(f"{name}:{line}: expected UTF-8 text") from problem
    return parse(text, path=path, error=error, max_bytes=max_bytes)


def parse(
    text: str, *, path: Path, error: type[UsageError], max_bytes: int = MAX_BYTES
) -> YamlDocument:
    """Read YAML text as the content of the file ``path``; see :func:`load`."""
    chars = Budget(max_bytes, "characters (aliases and merge keys count each time)")
    return _Reader(path, error, chars).read(text)


@attrs.define
class _Reader:
    path: Path
    error: type[UsageError]
    chars: Budget
    values: Budget = attrs.field(
        factory=lambda: Budget(MAX_VALUES, "values (aliases and merge keys count each time)")
    )
    positions: dict[tuple[Key, ...], Position] = attrs.field(factory=dict)
    written: dict[tuple[Key, ...], str] = attrs.field(factory=dict)
    _construct: Callable[[yaml.Node], Any] = attrs.field(default=lambda _: None, init=False)

    def fail(self, mark: Any, problem: str) -> UsageError:
        name = shown_path(self.path)
        if mark is None:
            return self.error(f"{name}: {problem}")
        return self.error(f"{name}:{mark.line + 1}:{mark.column + 1}: {problem}")

    def read(self, text: str) -> YamlDocument:
        _reject_unprintable(text, self.fail)
        _reject_directives(text, self.fail)
        try:
            if len(text) > SHALLOW_CHARS:
                _reject_size(text, self.fail)
            data = self._compose(text)
        except yaml.MarkedYAMLError as problem:
            mark = problem.problem_mark or problem.context_mark
            raise self.fail(mark, _explain(problem, mark, text)) from problem
        except RecursionError as problem:  # PyYAML's own composer, used if libyaml is missing
            raise self.fail(None, f"nested more than {MAX_DEPTH} levels deep") from problem
        except yaml.YAMLError as problem:
            raise self.fail(None, f"is not YAML: {str(problem).splitlines()[0]}") from problem
        return YamlDocument(
            path=self.path, data=data, positions=self.positions, written=self.written
        )

    def _compose(self, text: str) -> Any:
        loader = _Loader(text)
        self._construct = loader.construct_object
        try:
            node = loader.get_single_node()
            return None if node is None else self._value(node, (), 0)
        finally:
            loader.dispose()

    def _spend(self, node: yaml.Node, budget: Budget, count: int) -> None:
        try:
            budget.spend(count)
        except OverBudgetError as problem:
            raise self.fail(node.start_mark, str(problem)) from problem

    def _count(self, node: yaml.Node, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self.fail(node.start_mark, f"nested more than {MAX_DEPTH} levels deep")
        self._spend(node, self.values, 1)

    def _value(self, node: yaml.Node, path: tuple[Key, ...], depth: int) -> Any:
        self._count(node, depth)
        self.positions.setdefault(path, _position(node.start_mark))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            self._reject_tag(node, {_TAG + "seq"})
            return [
                self._value(item, (*path, index), depth + 1)
                for index, item in enumerate(node.value)
            ]
        value = self._scalar(node)
        if not isinstance(value, str):
            self.written[path] = node.value
        return value

    def _scalar(self, node: yaml.Node) -> Any:
        self._reject_tag(node, _PLAIN)
        self._spend(node, self.chars, len(node.value))
        if node.tag != _TAG + "str" and len(node.value) > MAX_NUMBER_CHARS:
            kind = node.tag.removeprefix(_TAG)
            raise self.fail(
                node.start_mark,
                f"a value of type {kind} with {len(node.value):,} characters, expected at most "
                f"{MAX_NUMBER_CHARS}; put it in quotes if it is text",
            )
        try:
            return self._construct(node)
        except (ValueError, OverflowError) as problem:
            kind = node.tag.removeprefix(_TAG)
            raise self.fail(
                node.start_mark,
                f"looks like a value of type {kind} but is not one; put it in quotes",
            ) from problem

    def _mapping(self, node: yaml.MappingNode, path: tuple[Key, ...], depth: int) -> dict[Key, Any]:
        result: dict[Key, Any] = {}
        for key, (key_node, value_node) in self._entries(node, depth).items():
            inner = (*path, key)
            self.positions[inner] = _position(key_node.start_mark)
            result[key] = self._value(value_node, inner, depth + 1)
        return result

    def _entries(
        self, node: yaml.MappingNode, depth: int
    ) -> dict[Key, tuple[yaml.Node, yaml.Node]]:
        """Return a mapping's entries: those merged by ``<<``, replaced by its own ones."""
        self._count(node, depth)
        self._reject_tag(node, {_TAG + "map"})
        own: dict[Key, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[Key, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                for key, entry in self._merged(value_node, depth):
                    merged.setdefault(key, entry)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.fail(key_node.start_mark, "expected a plain key")
            key = self._key(key_node)
            if key in own:
                first = own[key][0].start_mark.line + 1
                raise self.fail(
                    key_node.start_mark, f"duplicate key {key!r} (first on line {first})"
                )
            own[key] = (key_node, value_node)
        return merged | own

    def _key(self, node: yaml.ScalarNode) -> Key:
        key: Key = self._scalar(node)
        if isinstance(key, str) and len(key) > MAX_KEY_CHARS:
            raise self.fail(
                node.start_mark,
                f"a key of {len(key):,} characters, expected at most {MAX_KEY_CHARS}",
            )
        # Python's hash of an integer can be predicted, so larger ones can all have the same.
        if isinstance(key, int) and abs(key) >= 2**63:
            raise self.fail(node.start_mark, "a key above 2^63; put it in quotes")
        return key

    def _merged(
        self, node: yaml.Node, depth: int
    ) -> Iterable[tuple[Key, tuple[yaml.Node, yaml.Node]]]:
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(source, yaml.MappingNode):
                raise self.fail(source.start_mark, "expected a mapping after '<<'")
            self._spend(node, self.values, len(source.value))
            yield from self._entries(source, depth + 1).items()

    def _reject_tag(self, node: yaml.Node, allowed: Collection[str]) -> None:
        if node.tag not in allowed:
            tag = node.tag.replace(_TAG, "!!")
            raise self.fail(node.start_mark, f"the tag {tag!r} is not allowed here")


def _reject_unprintable(text: str, fail: _Fail) -> None:
    if found := _UNPRINTABLE.search(text):
        code = f"U+{ord(found[0]):04X}"
        raise fail(
            _mark(text, found.start()), f"the control character {code} is not allowed in YAML"
        )


def _reject_directives(text: str, fail: _Fail) -> None:
    for count, found in enumerate(_TAG_DIRECTIVE.finditer(text)):
        if count == MAX_TAG_DIRECTIVES:
            mark = _mark(text, found.end() - len("%TAG"))
            raise fail(mark, f"more than {MAX_TAG_DIRECTIVES} %TAG lines")


def _reject_size(text: str, fail: _Fail) -> None:
    # libyaml's composer recurses in C: about 100,000 brackets would crash the process. And it
    # makes all nodes before any can be counted.
    loader = _Loader(text)
    depth = nodes = 0
    try:
        while (event := loader.get_event()) is not None:
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH + 1:  # the outermost level is not nested
                raise fail(event.start_mark, f"nested more than {MAX_DEPTH} levels deep")
            nodes += isinstance(event, yaml.NodeEvent)
            if nodes > MAX_NODES:
                raise fail(event.start_mark, f"more than {MAX_NODES:,} keys and values")
    finally:
        loader.dispose()


def _mark(text: str, index: int) -> yaml.Mark:
    """Return the mark of a character of a text."""
    before = text[:index]
    return yaml.Mark("", 0, before.count("\n"), len(before.rpartition("\n")[2]), None, 0)


def _position(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _explain(problem: yaml.MarkedYAMLError, mark: Any, text: str) -> str:
    """Return PyYAML's message in words for people who do not know YAML's grammar."""
    lines = text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    reason = problem.problem or str(problem)
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in reason:
        return "found a tab, expected spaces; indent with spaces"
    if "expected a single document" in str(problem) or "but found another document" in reason:
        return "a second document starts here; expected one per file"
    if "mapping values are not allowed" in reason:
        return "unexpected ':'; put the text in quotes, or check the indentation"
    if "could not determine a constructor" in reason:
        return f"the tag {reason.rpartition(' ')[2]} is not allowed here"
    if "maximum nesting depth" in reason:  # libyaml has its own limit since 0.2.6
        return f"nested more than {MAX_DEPTH} levels deep"
    if "expected ',' or" in reason:
        return f"is not YAML: {reason}; put a name with brackets in quotes"
    if reason == "second occurrence":
        return "duplicate anchor (&): the name is already used above"
    if reason == "found undefined alias":
        return "an alias (*) without an anchor (&) above; put it in quotes if it is text"
    if "cannot start any token" in reason:
        return f"is not YAML: {reason}; put it in quotes"
    if problem.context and problem.context_mark and problem.context_mark.line != mark.line:
        reason += f" {problem.context} that starts on line {problem.context_mark.line + 1}"
    return f"is not YAML: {reason}"
