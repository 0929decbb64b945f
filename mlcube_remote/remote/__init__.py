# SPDX-License-Identifier: Apache-2.0
"""The POSIX sh that runs on hosts, shipped as package data.

Hosts need nothing but ``/bin/sh`` and the usual tools: these texts reach them on the standard input
of a shell. All but one are a library of functions; ``supervise.sh`` is the program that runs one
job.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_LIBRARY = (
    "host.sh",
    "engine.sh",
    "gpu.sh",
    "process.sh",
    "lock.sh",
    "tell.sh",
    "lease.sh",
    "job.sh",
    "stop.sh",
    "look.sh",
    "top.sh",
    "clean.sh",
    "manifest.sh",
    "attended.sh",
    "sif.sh",
    "own.sh",
)


@cache
def library() -> str:
    """Return the text that defines the functions a connection can call."""
    return "".join(_read(name) for name in _LIBRARY)


@cache
def supervisor() -> str:
    """Return the whole program that supervises a job: the library, then its main part."""
    return library() + _read("supervise.sh")


def _read(name: str) -> str:
    """Return a file's text without its comments.

    A run sends these texts several times, and links may be slow: two bytes in five are comments.
    """
    lines = files(__name__).joinpath(name).read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
