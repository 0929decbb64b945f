# SPDX-License-Identifier: Apache-2.0
"""JSON documents of this package on this machine: checked when read, written atomically."""

from __future__ import annotations

import json
import shlex
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from mlcube_remote.directories import make_private_directory
from mlcube_remote.errors import RecordError
from mlcube_remote.runs.atomic import write_atomically

FORMAT = 1
"""Format of the documents; a newer mlcube-remote may write a higher one."""

Document = dict[str, Any]


def age_of(written: object) -> float | None:
    """Return the seconds since a time that a document has; ``None``: it is no time."""
    try:
        return time.time() - datetime.fromisoformat(str(written)).timestamp()
    except ValueError:
        return None


def write_document(
    path: Path,
    document: Document,
    *,
    failed: str,
    root: Path,
    durable: bool = False,
    indent: int | None = None,
) -> None:
    """Write a document, replacing an older one; its directory becomes private.

    Args:
        path: The file.
        document: The content; the format number is added.
        failed: What has failed if it cannot be written, for the message.
        root: The directory that must be writable, for the hint.
        durable: Whether the document must survive a power failure.
        indent: Number of blanks for each level; ``None``: everything on one line.

    Raises:
        RecordError: The document cannot be written.
    """
    text = json.dumps({"format": FORMAT, **document}, ensure_ascii=True, indent=indent) + "\n"
    try:
        make_private_directory(path.parent)
        write_atomically(path, text, durable=durable)
    except OSError as problem:
        raise RecordError.not_writable(
            failed,
            problem,
            hint=f"make {root} writable, or set XDG_STATE_HOME to another directory",
        ) from problem


def read_document(path: Path) -> Document | None:
    """Return a document, or ``None`` if it does not exist.

    Raises:
        RecordError: It is damaged, or a newer mlcube-remote has written it.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as problem:
        raise damaged_record(path, problem) from problem
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise damaged_record(path, "no format number")
    if document["format"] > FORMAT:
        raise RecordError.too_new(path, "format", found=document["format"], supported=FORMAT)
    return document


def damaged_record(path: Path, reason: object) -> RecordError:
    """Return the error for a document that cannot be used."""
    return RecordError(f"{path}: damaged record ({reason})", hint=f"rm {shlex.quote(str(path))}")
