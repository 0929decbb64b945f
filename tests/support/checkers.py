# SPDX-License-Identifier: Apache-2.0
"""Programs that check what is written for others: a validator of RO-Crates, and axe-core."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PLACE = _ROOT / "build/checkers"


def validate_crate(directory: Path, profile: str) -> list[tuple[str, str, str]]:
    """Return severity, check and message of each problem of an RO-Crate."""
    program = Path(__file__).with_name("validate_crate.py")
    argv = [str(_installed("bin/python")), str(program), str(directory), profile]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return [(severity, check, message) for severity, check, message in json.loads(done.stdout)]


def axe_script() -> str:
    """Return the script of axe-core, which finds what keeps people from using a page."""
    return _installed("lib/*/site-packages/axe_playwright_python/axe.min.js").read_text("utf-8")


def _installed(pattern: str) -> Path:
    found = sorted(_PLACE.glob(pattern))
    assert found, "install the checkers: make test-checkers"
    return found[0]
