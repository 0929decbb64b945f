# SPDX-License-Identifier: Apache-2.0
"""Programs that list hosts: those of the user, and Ansible's ``ansible-inventory``."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from mlcube_remote.budgets import MAX_BYTES, parse_json
from mlcube_remote.errors import InventoryError
from mlcube_remote.formatting import escape_unprintable
from mlcube_remote.yamlsource import shown_path

_TIMEOUT_S = 120.0
_TAIL_BYTES = 64 * 1024
_MAX_SHOWN = 300
_ANSIBLE = "ansible-inventory"
_REASON = re.compile(r"\W*(?:fatal )?error\b", re.IGNORECASE)
"""The start of a line of gcloud, Terraform (in a frame) or Ansible with a reason."""


def is_program(path: Path) -> bool:
    """Return whether an inventory is a program: an executable file that starts as one.

    Some file systems mark all files as executable, so the mark alone means nothing.
    """
    if not path.is_file() or not os.access(path, os.X_OK):
        return False
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError:
        return False
    return start.startswith(b"#!") or start == b"\x7fELF"


def has_ansible() -> bool:
    """Return whether this machine has ``ansible-inventory``."""
    return shutil.which(_ANSIBLE) is not None


def run_program(path: Path) -> Any:
    """Return the JSON document that a program prints when it is called with ``--list``.

    Raises:
        InventoryError: It fails, takes too long or prints something else.
    """
    absolute = os.path.abspath(path)
    return _run([absolute, "--list"], shown_path(path), Path(absolute).parent)


def run_ansible(path: Path) -> Any:
    """Return what ``ansible-inventory --list`` prints for a file or directory.

    It runs in the directory of the inventory, whose ``ansible.cfg`` applies; not in the working
    directory, where another person's file of this name could start programs.

    Raises:
        InventoryError: It fails, or is not installed.
    """
    absolute = Path(os.path.abspath(path))
    folder = absolute if absolute.is_dir() else absolute.parent
    return _run(
        [_ANSIBLE, "-i", str(absolute), "--list"], f"{shown_path(path)}: {_ANSIBLE}", folder
    )


def _run(argv: Sequence[str], name: str, folder: Path) -> Any:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                argv,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as problem:
            raise InventoryError(f"{name}: cannot be run: {problem.strerror}") from problem
        try:
            code = process.wait(_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise InventoryError(f"{name}: no answer after {_TIMEOUT_S:.0f} s") from None
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if code != 0:
            said = _reason(errors)
            raise InventoryError(f"{name}: failed with exit code {code}{said and f': {said}'}")
        output.seek(0)
        raw = output.read(MAX_BYTES + 1)
    try:
        return parse_json(raw.decode("utf-8"))
    except ValueError as problem:
        raise InventoryError(
            f"{name}: expected a JSON document on standard output: {problem}",
            hint="docs/how-to/inventories.md shows what a program prints",
        ) from problem


def _reason(errors: IO[bytes]) -> str:
    """Return the last line that calls itself an error, or the last line: advice may follow."""
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - _TAIL_BYTES))
    lines = errors.read().decode("utf-8", "replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    reasons = [line for line in said if _REASON.match(line)] or said
    return escape_unprintable(reasons[-1])[:_MAX_SHOWN] if said else ""
