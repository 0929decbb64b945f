# SPDX-License-Identifier: Apache-2.0
"""List the names in an ssh_config, to suggest one for a name with a typo.

``ssh -G`` prints the settings of a name, but not the names. A pattern such as ``gpu*`` is no name.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

_LINE = re.compile(r"\s*(host|include)\s*[=\s]\s*(.*)", re.IGNORECASE)


def list_ssh_names(file: str | None) -> tuple[str, ...]:
    """Return the names of an ssh_config and of the files that it includes.

    Args:
        file: The file; ``None``: those that ``ssh`` reads by default.
    """
    files = [file] if file else ["~/.ssh/config", "/etc/ssh/ssh_config"]
    seen: set[Path] = set()
    names = (name for each in files for name in _read(Path(each).expanduser(), seen))
    return tuple(dict.fromkeys(names))


def _read(path: Path, seen: set[Path]) -> Iterator[str]:
    """Yield the names of a file that was not read yet."""
    if path in seen or not path.is_file():
        return
    seen.add(path)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        # ssh has reported it already.
        return
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        words = _split(match[2])
        if match[1].lower() == "host":
            yield from (word for word in words if not set(word) & set("*?!"))
        else:
            for word in words:
                pattern = os.path.join("~/.ssh", word) if word[:1] not in "~/" else word
                for found in sorted(glob.glob(os.path.expanduser(pattern))):
                    yield from _read(Path(found), seen)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()
