# SPDX-License-Identifier: Apache-2.0
"""The page on the command line has exactly the commands and options of the program."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_page_is_what_the_script_writes() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "generate_cli_reference.py"))
    page = script["PAGE"]
    assert page.read_text(encoding="utf-8") == script["reference"](), (
        f"{page.relative_to(ROOT)} differs from the options; write it again: make docs-reference"
    )
