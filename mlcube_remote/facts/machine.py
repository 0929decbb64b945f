# SPDX-License-Identifier: Apache-2.0
"""Parse what a host reports about its hardware and kernel; see ``remote/machine.sh``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mlcube_remote.events.provenance import FileStat, Machine

_MAX_TEXT = 200
"""Maximum number of characters of a text; a host could send any."""

_MAX_GPUS = 64
_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")
_MEMORY = re.compile(r"(\d{1,15}) kB")
_DRIVER = re.compile(r"\b\d+(?:\.\d+)+\b")
_STAT = re.compile(r"(\d{1,18}) (-?\d{1,12}) (/.*)", re.DOTALL)


def parse_machine(facts: Sequence[tuple[str, str]]) -> Machine:
    """Return the description of a machine; what cannot be read is left out."""
    known = {key: value.strip()[:_MAX_TEXT] for key, value in reversed(facts)}
    memory = _MEMORY.fullmatch(known.get("memory", ""))
    driver = _DRIVER.search(known.get("driver", ""))
    gpus = [value.strip()[:_MAX_TEXT] for key, value in facts if key == "gpu"]
    return Machine(
        hostname=known.get("hostname", ""),
        machine=known.get("machine", ""),
        os=known.get("os", "").strip("\"'"),
        kernel=known.get("kernel", ""),
        cpu=known.get("cpu", ""),
        cpus=_count(known.get("cpus", "")),
        memory=None if memory is None else int(memory[1]) * 1024,
        gpus=tuple(gpus[:_MAX_GPUS]),
        gpu_driver="" if driver is None else driver[0],
    )


def _count(text: str) -> int | None:
    """Return the number of processors in a list such as ``0-3,8``."""
    total = 0
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            return None
        total += int(match[2] or match[1]) - int(match[1]) + 1
    return total if total > 0 else None


def parse_stats(lines: Iterable[str]) -> dict[str, FileStat]:
    """Return path → size and time of each ``SIZE SECONDS PATH``; others are left out."""
    matches = filter(None, map(_STAT.fullmatch, lines))
    return {match[3]: FileStat(size=int(match[1]), modified=int(match[2])) for match in matches}
