# SPDX-License-Identifier: Apache-2.0
"""What a host sends of small outputs, written by hand; see ``remote/end_answer.sh``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping


def send_folder(number: int, files: Mapping[str, bytes | None]) -> bytes:
    """Return what a host sends of a folder: path → content, or ``None`` for a directory."""
    answer = f"folder={number}\0".encode()
    if not files:
        return answer
    for name, content in files.items():
        kind, size = ("d", 4096) if content is None else ("f", len(content))
        answer += f"entry={kind} {size} 1700000000.1234567890 754 ".encode()
        answer += os.fsencode(name) + b"\0"
    contents = [content for content in files.values() if content is not None]
    sums = "".join(f"{hashlib.sha256(each).hexdigest()}  x\n" for each in contents)
    data = b"".join(contents)
    return answer + f"sums={sums}\0contents={len(data)}\0".encode() + data
