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
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

VERSIONS = ("0.0.9", "0.0.10rc2")
"""The first is the one that has the environment; the other is laid over it."""

_RUNNERS = ("mlcube-docker==0.0.9", "mlcube-singularity==0.0.9", "spython==0.2.1", "semver<3")
_MADE = ".mlcube-remote-made"


def program() -> Path:
    """Return ``mlcube``, for use with :func:`python_path`.

    Beside it is what ``pip install mlcube-remote[mlcube]`` would bring, but not mlcube-remote
    itself.
    """
    folder, problem = _environment()
    assert not problem, problem
    return folder / "bin" / "mlcube"


def python_path(version: str = VERSIONS[0], *, runners: bool = False) -> str:
    """Return the PYTHONPATH for a version: it has the checkout, so that this is what is tested.

    Args:
        version: One of :data:`VERSIONS`.
        runners: Whether the reference finds its own runners too.
    """
    folder, _ = _environment()
    over = [folder / version] if version != VERSIONS[0] else []
    return os.pathsep.join(map(str, [*over, *([folder / "runners"] if runners else []), ROOT]))


@cache
def _environment() -> tuple[Path, str]:
    """Return the folder, and why there is nothing in it: not every test is to find that out."""
    commands = (*_commands(), *_overlays())
    recipe = repr((tuple(sys.version_info), commands)).encode()
    folder = ROOT / "build" / f"mlcube-{hashlib.sha256(recipe).hexdigest()[:12]}"
    if (folder / _MADE).exists():
        return folder, ""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    python = str(folder / "bin/python")
    pip = (python, "-m", "pip", "install", "--quiet", "--retries=3", "--disable-pip-version-check")
    steps = [(sys.executable, "-m", "venv", str(folder)), *((*pip, *each) for each in commands)]
    for step in steps:
        done = subprocess.run(
            step, cwd=folder, capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode != 0:
            return folder, f"{' '.join(step)}: {done.stdout}{done.stderr}"
    (folder / _MADE).touch()
    return folder, ""


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


def _overlays() -> tuple[tuple[str, ...], ...]:
    later = VERSIONS[1]
    return (
        (f"--target={later}", "--no-deps", f"mlcube=={later}"),
        ("--target=runners", "--no-deps", *_RUNNERS),
    )
