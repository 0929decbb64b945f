# SPDX-License-Identifier: Apache-2.0
"""On a real terminal no line of a table or of the live display is wider than it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.support.terminal import ClientOnTerminal

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_COLOURS = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|9\d)m")
TERMINALS = {
    "colour": {},
    "NO_COLOR": {"NO_COLOR": "1"},
    "dumb": {"TERM": "dumb"},
}
"""Kind of terminal → the variables that announce it."""

INVENTORY = """\
hosts:
  gpu-node-with-a-very-long-name-0001:
    address: gpu-node-with-a-very-long-name-0001.cluster.example.org
    user: alice-with-a-long-name
    platform: docker
    labels: {rack: r12, partition: interactive, room: basement}
groups:
  a-group-with-a-long-name: [gpu-node-with-a-very-long-name-0001]
"""

TABLES = {
    "ps": ["run", "job", "state", "age", "no answer (last run 3d ago)"],
    "ps --jobs": ["run", "job", "state", "age", "no answer (last run 3d ago)"],
    "hosts top": ["host", "memory free", "gpus free", "model", "no answer"],
    "hosts disk": ["host", "size"],
    "hosts list": ["host", "address"],
    "run": ["host", "parameters", "task", "result", "failed"],
    "status": ["host", "parameters", "state", "started"],
}
"""Command → what it shows of its table at 80 columns."""


def show(width: int, variables: dict[str, str], folder: Path) -> tuple[str, dict[str, list[str]]]:
    """Return all that a terminal got, and command → its lines without escape sequences."""
    inventory = folder / "hosts.yaml"
    inventory.write_text(INVENTORY)
    home = {name: str(folder) for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME")}
    client = ClientOnTerminal(
        [sys.executable, "-m", "tests.support.shown_tables"],
        size=(60, width),
        env={
            "MLCUBE_REMOTE_INVENTORY": str(inventory),
            "COLUMNS": "",
            "LC_ALL": "C.UTF-8",
            **home,
            **variables,
        },
    )
    try:
        assert client.end() == 0, client.shown
    finally:
        client.kill()
    _, *parts = re.split(r"== ([a-z -]+)\r\n", client.shown)
    texts = dict(zip(parts[::2], parts[1::2], strict=True))
    return client.shown, {
        name: [_ESCAPES.sub("", line) for line in re.split(r"[\r\n]+", text)]
        for name, text in texts.items()
    }


@pytest.mark.parametrize("kind", TERMINALS)
@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int, kind: str, tmp_path: Path) -> None:
    shown, commands = show(width, TERMINALS[kind], tmp_path)

    for name, words in TABLES.items():
        table = [line for line in commands[name] if "  " in line or "…" in line]
        steps = [line for line in table if "mlcube-remote " in line]
        wide = [line for line in table if cell_len(line) > width and line not in steps]
        assert wide == [], name
        if width >= 80:
            missing = [word for word in words if word not in "\n".join(commands[name])]
            assert missing == [], (name, commands[name])
    has_colour = bool(_COLOURS.search(shown))
    assert has_colour == (kind == "colour"), shown
    if kind == "dumb":
        assert "\x1b" not in shown
    else:
        live = commands["live"]
        assert [line for line in live if cell_len(line) > width] == []
        assert any("sync 0s" in line for line in live), live
        assert any("no connect" in line for line in live), live
        assert any("learning" in line for line in live) == (width >= 80), live
