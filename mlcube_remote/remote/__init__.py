# SPDX-License-Identifier: Apache-2.0
"""The POSIX sh that runs on hosts, shipped as package data.

Hosts need nothing but ``/bin/sh`` and the usual tools: these texts reach them on the standard input
of a shell. All but one are a library of functions; ``supervise.sh`` is the program that runs one
job.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path

_LIBRARY = (
    "probe.sh",
    "engine.sh",
    "gpus.sh",
    "process.sh",
    "lock.sh",
    "gpu_registry.sh",
    "gpu_leases.sh",
    "launch.sh",
    "stop.sh",
    "job_state.sh",
    "usage.sh",
    "clean.sh",
    "checksums.sh",
    "foreground.sh",
    "sif_images.sh",
    "chown_outputs.sh",
)


_FUNCTION = re.compile(r"^(mlcr_[a-z_]+)\(\) [{(]\n.*?^[})]\n", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"\bmlcr_[a-z_]+")
_reading = threading.Lock()
"""The threads of all hosts come here in one moment, and one of them is to do the work."""


@cache
def library() -> str:
    """Return the text that defines the functions a connection can call."""
    return "".join(_read(name) for name in _LIBRARY)


def definitions(words: Iterable[str], sent: Collection[str] = ()) -> dict[str, str]:
    """Return what a shell must be told before it can call functions of the library.

    All of the library is forty kilobytes, and one run starts three shells: over a slow link
    that takes longer than everything they do.

    Args:
        words: Words of a call; those that are no function's name do not matter.
        sent: Functions that the shell knows already.

    Returns:
        Name → definition, of these functions and of all that they use.
    """
    with _reading:
        known = _functions()
    needed: set[str] = set()
    found = [word for word in words if word in known]
    while found:
        name = found.pop()
        if name not in needed and name not in sent:
            needed.add(name)
            found += known[name][1]
    return {name: text for name, (text, _) in known.items() if name in needed}


@cache
def supervisor() -> str:
    """Return the whole program that supervises a job: what it uses, then its main part."""
    main = _read("supervise.sh")
    return "".join(definitions(_NAME.findall(main)).values()) + main


@cache
def _functions() -> Mapping[str, tuple[str, frozenset[str]]]:
    """Return name → (definition, names that stand in it) of every function of the library."""
    found = {match[1]: match[0] for match in _FUNCTION.finditer(library())}
    return {
        # A variable may have a function's name: then one is sent too many.
        name: (text, frozenset(_NAME.findall(text)) & found.keys())
        for name, text in found.items()
    }


def _read(name: str) -> str:
    """Return a file's text without its comments.

    A run sends these texts several times, and links may be slow: two bytes in five are comments.
    """
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
