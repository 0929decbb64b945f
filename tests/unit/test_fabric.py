# SPDX-License-Identifier: Apache-2.0
"""Fabric is imported only if it is used, and then has all of Paramiko."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CUBE = "name: x\ndocker: {image: x}\ntasks: {one: {}}\n"


def python(script: str, *arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "words",
    [("--help",), ("run", "--host=user@127.0.0.1:1", "--task=one"), ("ps", "--host=127.0.0.1")],
)
def test_no_command_imports_fabric(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "mlcube.yaml").write_text(CUBE)
    (tmp_path / "hosts.yaml").write_text("hosts: {127.0.0.1: {port: 1, connect_timeout: 1}}\n")
    script = (
        "import sys\nfrom mlcube_remote.cli.main import execute\nexecute(sys.argv[1:])\n"
        "print('paramiko' in sys.modules, {'fabric', 'invoke'} & set(sys.modules))"
    )
    connects = words != ("--help",)
    assert python(script, *words, folder=tmp_path) == f"{connects} set()"


def test_fabric_finds_invoke_although_paramiko_was_imported_without_it(tmp_path: Path) -> None:
    script = (
        "import mlcube_remote.transport.paramiko_import, sys\n"
        "assert 'invoke' not in sys.modules\n"
        "import fabric, paramiko\n"
        "config = paramiko.SSHConfig.from_text('Match exec true\\n  User alice\\n')\n"
        "print(fabric.Connection('gpu01', config=fabric.Config(ssh_config=config)).user)"
    )
    assert python(script, folder=tmp_path) == "alice"
