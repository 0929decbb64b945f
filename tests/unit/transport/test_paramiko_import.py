# SPDX-License-Identifier: Apache-2.0
"""Paramiko is imported without its unused parts; other imports still work."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

from mlcube_remote.transport.paramiko_import import installed_version


def python(text: str) -> str:
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, check=True, text=True)
    return done.stdout.strip()


def test_slow_modules_are_not_imported() -> None:
    loaded = python(
        "import sys, mlcube_remote.transport.paramiko_import; print(*sys.modules)"
    ).split()
    assert "paramiko" in loaded
    assert not {"invoke", "asyncio", "importlib.metadata", "email.message"}.intersection(loaded)


def test_hidden_modules_can_be_imported_afterwards() -> None:
    versions = python(
        "import mlcube_remote.transport.paramiko_import, paramiko, invoke, importlib.metadata;"
        "print(importlib.metadata.version('paramiko'), paramiko.__version__)"
    )
    assert versions.split() == [version("paramiko")] * 2


def test_the_version_is_read_from_the_name_of_the_metadata_folder() -> None:
    assert installed_version("paramiko") == version("paramiko")
    assert installed_version("no_such_package") is None
    assert installed_version("this") is None, "a module without a folder"
