# SPDX-License-Identifier: Apache-2.0
"""Read single values of ``mlcube.yaml``, with messages that name their positions."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NoReturn

import attrs

from mlcube_remote.budgets import MAX_TEXT_CHARS
from mlcube_remote.cube.keys import describe_words, is_used, suggest_key
from mlcube_remote.cube.resolve import Locate
from mlcube_remote.errors import CubeError
from mlcube_remote.formatting import describe_value, escape_unprintable
from mlcube_remote.suggestions import ALMOST_EQUAL, did_you_mean

MAX_UNKNOWN_KEYS = 1000
"""Number of unknown keys of one mapping; each is compared with the known ones."""
MAX_WARNINGS = 20
"""Number of warnings about one file."""

KeyPath = tuple[str, ...]


@attrs.frozen
class ValueReader:
    """Reads single values of one file; ``locate`` returns positions for messages."""

    locate: Locate
    references: Collection[str] = ()
    """Keys that interpolations of the file name."""
    warnings: list[str] = attrs.field(factory=list)
    """Filled while the data is read: keys without an effect."""

    def fail(self, path: KeyPath, problem: str, hint: str | None = None) -> NoReturn:
        """Raise the error for the value at ``path``."""
        raise CubeError(self._message(path, problem), hint=hint)

    def _message(self, path: KeyPath, problem: str) -> str:
        label = escape_unprintable(".".join(path))
        return f"{self.locate(path)}: {f'{label}: ' if label else ''}{problem}"

    def check_known(
        self, level: str, path: KeyPath, keys: Iterable[Any], known: Iterable[str]
    ) -> None:
        """Refuse an unknown key that looks like a known one, and warn about others.

        MLCube ignores unknown keys. Cubes use them as variables for interpolation, and as notes.
        """
        known = tuple(known)
        unknown = [key for key in keys if key not in known]
        if len(unknown) > MAX_UNKNOWN_KEYS:
            self.fail(path, f"more than {MAX_UNKNOWN_KEYS:,} unknown keys")
        for key in unknown:
            here = (*path, str(key))
            if is_used(level, here, self.references):
                continue
            if suggestion := did_you_mean(key, known, ALMOST_EQUAL):
                self.fail(here, f"unknown key{suggestion}")
            expected = f"expected {' or '.join(known)}" if level == "group" else "it has no effect"
            self.warn(here, f"unknown key{suggest_key(key, known)}: {expected}")

    def warn(self, path: KeyPath, problem: str) -> None:
        """Add a warning, unless there are many already."""
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(self._message(path, problem))

    def mapping(self, path: KeyPath, value: Any) -> Mapping[str, Any]:
        """Return a mapping with text keys; ``None`` counts as an empty one."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.fail(path, f"expected a mapping, got {describe_value(value)}")
        for key in value:
            if not isinstance(key, str):
                self.fail(path, f"expected names, got {key!r}", hint=f'quote it: "{key}"')
        return value

    def text(self, path: KeyPath, value: Any, default: str = "") -> str:
        """Return text; ``None`` gives the default."""
        if value is None:
            return default
        if not isinstance(value, str):
            is_scalar = not isinstance(value, (list, Mapping))
            hint = f'quote it: "{value}"' if is_scalar else describe_words(value)
            self.fail(path, f"expected text, got {describe_value(value)}", hint=hint)
        if problem := _problem_of(value):
            self.fail(path, problem)
        return value

    def name(self, path: KeyPath, value: str) -> str:
        """Return the name of a task or parameter, which is part of a command line."""
        if not value or value.startswith("-") or has_control(value) or "=" in value:
            rule = "it must not start with '-' or contain '=' or control characters"
            self.fail(path, f"{value!r} cannot be a name: {rule}")
        return value


def has_control(text: str) -> bool:
    """Return whether a text contains a control character."""
    return any(unicodedata.category(character) == "Cc" for character in text)


def _problem_of(text: str) -> str:
    """Return why a text cannot be used; empty if it can."""
    if "\0" in text:
        return "the value contains a NUL character"
    if len(text) > MAX_TEXT_CHARS:
        return f"a text of {len(text):,} characters, expected at most {MAX_TEXT_CHARS:,}"
    return ""
