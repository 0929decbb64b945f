# SPDX-License-Identifier: Apache-2.0
"""What the documentation tells people to type works, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tracked import copy_tracked

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])

_TESTED = re.compile(r"<!-- tested -->\n```sh\n(.*?)```", re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def test_the_tutorial_can_be_typed_from_top_to_bottom(tmp_path: Path) -> None:
    commands = _TESTED.findall((ROOT / "docs/tutorial/first-run.md").read_text())
    assert len(commands) >= 5
    clone = tmp_path / "clone"
    copy_tracked(ROOT / "examples", clone / "examples")
    state = tmp_path / "state"
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(state),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    script = "set -e\n" + "\n".join(commands)
    try:
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=clone,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        chat = (clone / "examples/hello_world/workspace/chats/chat_with_alice.txt").read_text()
        assert "Hello" in chat
        assert len(list((clone / "examples/hello_world/results").glob("*/sandbox[12]"))) == 2
    finally:
        subprocess.run(
            ["mlcube-remote", "sandbox", "down"], env=environment, check=True, capture_output=True
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing
