# SPDX-License-Identifier: Apache-2.0
"""The reference implementation's own command, ``mlcube``, as PyPI has it.

It is bound to old versions of what this project uses, too, and so cannot live beside the tests: it
has a virtual environment, made on first use and kept under ``build/``.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

VERSIONS = ("0.0.9", "0.0.10rc2")
"""The first is the one that has the environment; others are laid over it."""

_MADE = ".mlcube-remote-made"


def program() -> Path:
    """Return ``mlcube``, for use with :func:`python_path`.

    Beside it is what ``pip install mlcube-remote[mlcube]`` would bring, but not mlcube-remote
    itself.
    """
    commands = _commands()
    recipe = repr((tuple(sys.version_info), commands)).encode()
    folder = ROOT / "build" / f"mlcube-{hashlib.sha256(recipe).hexdigest()[:12]}"
    if not (folder / _MADE).exists():
        shutil.rmtree(folder, ignore_errors=True)
        _call(sys.executable, "-m", "venv", str(folder))
        for arguments in commands:
            _install(folder, *arguments)
        for version in VERSIONS[1:]:
            _install(folder, "--no-deps", f"--target={folder / version}", f"mlcube=={version}")
        (folder / _MADE).touch()
    return folder / "bin" / "mlcube"


def python_path(version: str) -> str:
    """Return the PYTHONPATH for a version: it has the checkout, so that this is what is tested."""
    over = [] if version == VERSIONS[0] else [str(program().parents[1] / version)]
    return os.pathsep.join([*over, str(ROOT)])


def _commands() -> tuple[tuple[str, ...], ...]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    ours = tuple(setup["options"]["install_requires"].split("\n")[1:])
    extra = tuple(setup["options.extras_require"]["mlcube"].split("\n")[1:])
    mlcube = f"mlcube=={VERSIONS[0]}"
    if tuple(sys.version_info) < (3, 13):
        # A later pip does not read the metadata of the OmegaConf that mlcube is bound to.
        return ("pip<24.1",), (*ours, *extra, mlcube)
    # A later Python does not run that OmegaConf. This is what docs/how-to/mlcube-cli.md advises.
    return (*ours, "coloredlogs", "cookiecutter", "markdown", "setuptools"), ("--no-deps", mlcube)


def _install(folder: Path, *arguments: str) -> None:
    pip = (str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--retries=3")
    _call(*pip, "--disable-pip-version-check", *arguments)


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
