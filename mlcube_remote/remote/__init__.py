# SPDX-License-Identifier: Apache-2.0
"""The POSIX sh that runs on hosts, as package data, and the loader that selects what to send.

A host needs only ``/bin/sh`` and the usual tools: a connection sends these texts to the standard
input of a shell there. Most files form a library of functions. ``supervise.sh`` and its part are
the program that runs one job; ``slurm.sh`` and its parts hand a job to Slurm. The exit statuses of
the functions are in :mod:`mlcube_remote.remote.status`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
_SUPERVISOR = ("supervise_task.sh", "supervise.sh")
_SLURM = (
    *("slurm_submit.sh", "slurm_queue.sh", "slurm_several.sh", "slurm_node.sh"),
    *("slurm_requeue.sh", "slurm_scratch.sh", "slurm.sh"),
)
_PROGRAMS = frozenset({*_SUPERVISOR, *_SLURM})
# Both begin with what Python searches for quickly, and advance by lines: every run waits for this.
_FUNCTION = re.compile(r"^(mlcr_[a-z_]+)\(\) [{(]\n(?:(?![})]\n).*\n)*[})]\n", re.MULTILINE)
_NAME = re.compile(r"mlcr_[a-z_]+")
_parse_lock = threading.Lock()
"""The threads of all hosts start at the same moment; one of them parses the library."""


@cache
def library() -> str:
    """Return the definitions of all functions that a connection can call."""
    names = sorted(path.name for path in _FOLDER.glob("*.sh") if path.name not in _PROGRAMS)
    return "".join(_read(name) for name in names)


def definitions(words: Iterable[str], sent: Collection[str] = ()) -> dict[str, str]:
    """Return the functions that a shell needs before it can run a call.

    The whole library is forty kilobytes, and one run starts three shells: over a slow link,
    sending all of it to each shell takes longer than everything the shells do.

    Args:
        words: Words of the call; words that are not names of functions are ignored.
        sent: Functions that the shell has already.

    Returns:
        Name → definition, of the functions named and of all functions that they use.
    """
    with _parse_lock:
        known = _functions()
    needed: set[str] = set()
    found = [word for word in words if word in known]
    while found:
        name = found.pop()
        if name not in needed and name not in sent:
            needed.add(name)
            found += known[name][1]
    return {name: text for name, (text, _) in known.items() if name in needed}


def function_program(name: str) -> str:
    """Return a program that calls one function with its arguments."""
    return "".join(definitions([name]).values()) + f'{name} "$@"\n'


@cache
def supervisor() -> str:
    """Return the program that supervises a job."""
    return _program(*_SUPERVISOR)


@cache
def slurm_scheduler() -> str:
    """Return the program that hands a job to Slurm, and asks Slurm about it."""
    return _program(*_SLURM)


def _program(*names: str) -> str:
    """Return the functions that a program uses, then its main part."""
    main = "".join(map(_read, names))
    return "".join(definitions(_NAME.findall(main)).values()) + main


@cache
def _functions() -> Mapping[str, tuple[str, frozenset[str]]]:
    """Return name → (definition, names of functions in it) for each function of the library."""
    found = {match[1]: match[0] for match in _FUNCTION.finditer(library())}
    return {
        name: (text, frozenset(_NAME.findall(text)) & found.keys()) for name, text in found.items()
    }


def _read(name: str) -> str:
    """Return the text of a file without its comments.

    One run sends these texts several times, and two bytes in five are comments.
    """
    text = (_FOLDER / name).read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
