# SPDX-License-Identifier: Apache-2.0
"""What a user can ask Slurm for: the keys of ``slurm:`` in hosts.yaml and of ``--slurm``.

The command line gives every value as text, so all checks take text, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from mlcube_remote.suggestions import did_you_mean

_WORD = re.compile(r"[^\s\x00-\x1f\x7f-][^\s\x00-\x1f\x7f]*")
_TIME = re.compile(r"\d+|\d+:\d\d|\d+:\d\d:\d\d|\d+-\d+(?::\d\d){0,2}|UNLIMITED|infinite", re.ASCII)
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/@:=-]*")
_SCRATCH = re.compile(r"(?:/|\$[A-Za-z_]|\$\{[A-Za-z_]\w*\})[^\x00-\x1f\x7f]*", re.ASCII)
_MAX_NODES = 10_000
_MAX_TRIALS = 1000

OWN_OPTIONS = (
    *("--array", "--error", "--help", "--input", "--job-name", "--open-mode", "--output"),
    *("--parsable", "--requeue", "--no-requeue", "--signal", "--test-only", "--wait", "--wrap"),
)
"""Options of sbatch that mlcube-remote sets itself, or that change what it prints."""
_OWN_LETTERS = frozenset("aehiJoW")
"""The short forms of those options."""


def _word(value: Any) -> str:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise ValueError(f"expected one word of text, got {value!r}")
    return value


def _time(value: Any) -> str:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError(
            f"expected minutes, H:MM:SS or D-HH:MM:SS, got {value!r}; put it in quotes"
        )
    return value


def _nodes(value: Any) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"[1-9]\d{0,4}", value, re.ASCII):
        raise ValueError(f"expected a number of nodes, got {value!r}")
    if int(value) > _MAX_NODES:
        raise ValueError(f"expected at most {_MAX_NODES} nodes, got {value}")
    return int(value)


def _trials_per_job(value: Any) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"[1-9]\d{0,3}", value, re.ASCII):
        raise ValueError(f"expected a number of trials, got {value!r}")
    if int(value) > _MAX_TRIALS:
        raise ValueError(f"expected at most {_MAX_TRIALS} trials, got {value}")
    return int(value)


def _place(value: Any) -> str:
    if value not in {"login", "job"}:
        raise ValueError(f"expected login or job, got {value!r}")
    return str(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value not in {"true", "false"}:
        raise ValueError(f"expected true or false, got {value!r}")
    return bool(value == "true")


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _modules(value: Any) -> tuple[str, ...]:
    names = [part for item in _items(value) for part in str(item).split(",")]
    for name in names:
        if not _MODULE.fullmatch(name):
            raise ValueError(f"expected names of modules such as apptainer/1.3, got {name!r}")
    return tuple(names)


def _setup(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"expected shell text, got {value!r}")
    return value


def _scratch(value: Any) -> str:
    if not isinstance(value, str) or not _SCRATCH.fullmatch(value):
        raise ValueError(f"expected a path such as /tmp or $TMPDIR, got {value!r}")
    return value


def _extra(value: Any) -> tuple[str, ...]:
    words = _items(value)
    for word in words:
        if not isinstance(word, str) or not re.fullmatch(r"--?[A-Za-z][^\x00-\x1f]*", word):
            raise ValueError(f"expected options of sbatch such as --mail-type=END, got {word!r}")
        name = word.partition("=")[0]
        # sbatch takes the unique beginning of an option, too.
        is_own = name.startswith("--") and any(own.startswith(name) for own in OWN_OPTIONS)
        if is_own or (not name.startswith("--") and name[1] in _OWN_LETTERS):
            raise ValueError(f"{name}: mlcube-remote sets this option itself")
    return tuple(words)


CHECKS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "partition": _word,
        "account": _word,
        "qos": _word,
        "time": _time,
        "gres": _word,
        "constraint": _word,
        "nodes": _nodes,
        "exclusive": _flag,
        "modules": _modules,
        "setup": _setup,
        "extra": _extra,
        "trials_per_job": _trials_per_job,
        "requeue": _flag,
        "image_build": _place,
        "scratch": _scratch,
    }
)
"""Each key with its check, which raises :class:`ValueError` with "expected …, got …"."""


def check(values: Mapping[Any, Any]) -> Mapping[str, Any]:
    """Return checked values.

    Raises:
        ValueError: A key is unknown, or a value is wrong.
    """
    result: dict[str, Any] = {}
    for key, value in values.items():
        if key not in CHECKS:
            expected = did_you_mean(str(key), CHECKS) or f" (expected: {', '.join(CHECKS)})"
            raise ValueError(f"unknown key {key!r}{expected}")
        try:
            result[key] = CHECKS[key](value)
        except ValueError as problem:
            raise ValueError(f"{key}: {problem}") from None
    return MappingProxyType(result)
