# SPDX-License-Identifier: Apache-2.0
"""Add a host to the text of a ``hosts.yaml``, and leave everything else in it as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlcube_remote import yamlsource
from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.load import read
from mlcube_remote.inventory.model import Inventory
from mlcube_remote.yamlsource import shown_path

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]*|\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
_EMPTY = re.compile(r"(hosts\s*:)\s*\{\s*\}")
"""A file without hosts, such as one that a user prepared."""
_WORDS_OF_YAML = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def add_host(text: str, path: Path, name: str, keys: Mapping[str, Any]) -> tuple[str, Inventory]:
    """Return the text of a file with one more host at the end of its hosts, and its inventory.

    Args:
        text: The content of the file.
        path: The file, for messages.
        name: The host.
        keys: Its keys.

    Raises:
        InventoryError: The file is wrong, has the host already, or its form does not allow this.
    """
    before = yamlsource.parse(text, path=path, error=InventoryError)
    if before.data is not None:
        known = read(before).hosts.get(name)
        if known is not None and known.source is not None:
            raise InventoryError(
                f"{known.source}: there is already a host {name}",
                hint=f"look at it: mlcube-remote hosts show {name}; change it in an editor, "
                "or add the host under another name",
            )
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    start = next((i for i, line in enumerate(lines) if re.match(r"hosts\s*:", line)), None)
    if start is None:
        at, indent, head = len(lines), "  ", ["hosts:\n"]
    else:
        lines[start] = _EMPTY.sub(r"\1", lines[start])
        at, indent = _end_of_hosts(lines, start)
        head = []
    entry = _entry(indent, name, keys)
    changed = "".join([*lines[:at], *head, *entry, *lines[at:]])
    by_hand = InventoryError(
        f"{shown_path(path)}: a host cannot be added to a file of this form",
        hint="add it in an editor, below hosts:\n" + "".join(_entry("  ", name, keys)).rstrip("\n"),
    )
    try:
        after = yamlsource.parse(changed, path=path, error=InventoryError)
    except InventoryError:
        raise by_hand from None
    old = before.data or {}
    expected = {**old, "hosts": {**(old.get("hosts") or {}), name: keys or None}}
    if after.data != expected:
        raise by_hand
    return changed, read(after)


def _end_of_hosts(lines: list[str], start: int) -> tuple[int, str]:
    """Return the line behind the last host, and the indentation of hosts."""
    end, indent = start + 1, ""
    for index in range(start + 1, len(lines)):
        line = lines[index]
        if not line.strip():
            continue
        if not line[0].isspace() and not line.startswith("#"):
            break
        if line[0].isspace():
            # Comments at the start of a line belong to what follows.
            end = index + 1
            if not indent and not line.lstrip().startswith("#"):
                indent = line[: len(line) - len(line.lstrip())]
    return end, indent or "  "


def _entry(indent: str, name: str, keys: Mapping[str, Any]) -> list[str]:
    first = f"{indent}{_scalar(name)}:\n"
    return [first, *(f"{indent}  {key}: {_scalar(value)}\n" for key, value in keys.items())]


def _scalar(value: Any) -> str:
    """Return a value as YAML reads it back."""
    if isinstance(value, int):
        return str(value)
    is_plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML
    return value if is_plain else json.dumps(value)
