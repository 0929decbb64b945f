# SPDX-License-Identifier: Apache-2.0
"""The part of the package's metadata that depends on where the repository is.

All else is in setup.cfg. ``REPOSITORY`` is the address of the repository, such as
``https://HOST/OWNER/NAME``; an index shows the README, and there relative links lead nowhere.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from setuptools import setup

_ROOT = Path(__file__).parent
_RELATIVE_LINK = re.compile(r"\]\((?!https?://|#)([^)]+)\)")

settings: dict[str, object] = {}
repository = os.environ.get("REPOSITORY", "").rstrip("/")
if repository:
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")
    settings = {
        "long_description": _RELATIVE_LINK.sub(rf"]({repository}/blob/main/\1)", readme),
        "project_urls": {
            "MLCube": "https://mlcommons.github.io/mlcube/",
            "Source": repository,
            "Documentation": f"{repository}/blob/main/docs/index.md",
            "Changelog": f"{repository}/blob/main/CHANGELOG.md",
            "Issues": f"{repository}/issues",
        },
    }

setup(**settings)
