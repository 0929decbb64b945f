# SPDX-License-Identifier: Apache-2.0
"""The requests that the user allowed: one small document per cube.

::

    $XDG_STATE_HOME/mlcube-remote/trust/DIGEST.json

DIGEST is that of the cube's path. A document lists the requests that were shown to the user, so
that a request which the cube adds or changes later is not allowed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path

import attrs

from mlcube_remote.directories import make_private_directory, state_home
from mlcube_remote.errors import RecordError
from mlcube_remote.runs.atomic import write_atomically
from mlcube_remote.trust.requests import FULL_TRUST, Trust

FORMAT = 1
"""Format of the documents; a newer mlcube-remote may write a higher one."""


@attrs.frozen
class TrustedCubes:
    """The documents in one directory."""

    root: Path = attrs.field(factory=lambda: state_home() / "trust")

    def read(self, cube: Path) -> frozenset[str]:
        """Return the requests of a cube that the user allowed.

        Raises:
            RecordError: The document is damaged, or a newer mlcube-remote has written it.
        """
        path = self._path(cube)
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            found, requests = document["format"], document["requests"]
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
            raise RecordError(
                f"{path}: damaged record ({problem})", hint=f"rm {shlex.quote(str(path))}"
            ) from problem
        if found != FORMAT:
            raise RecordError.too_new(path, "format", found=found, supported=FORMAT)
        return frozenset(map(str, requests))

    def write(self, cube: Path, requests: Iterable[str]) -> None:
        """Replace the requests of a cube that the user allowed.

        Raises:
            RecordError: The document cannot be written.
        """
        document = {
            "format": FORMAT,
            "cube": os.path.realpath(cube),
            "requests": sorted(requests),
        }
        try:
            make_private_directory(self.root)
            write_atomically(self._path(cube), json.dumps(document, indent=1) + "\n")
        except OSError as problem:
            raise RecordError.not_writable(
                "the trust in the cube cannot be recorded",
                problem,
                hint=f"make {self.root} writable, or set XDG_STATE_HOME to another directory",
            ) from problem

    def forget(self, cube: Path) -> bool:
        """Delete the document of a cube, and return whether there was one."""
        try:
            self._path(cube).unlink()
        except FileNotFoundError:
            return False
        return True

    def _path(self, cube: Path) -> Path:
        digest = hashlib.sha256(os.fsencode(os.path.realpath(cube))).hexdigest()
        return self.root / f"{digest[:32]}.json"


def read_trust(cube: Path, *, everything: bool) -> Trust:
    """Return what a cube may ask for.

    Args:
        cube: Directory of the cube.
        everything: Whether the user trusts it for this command (``--trust-cube``).

    Raises:
        RecordError: The record of the user's yes cannot be read.
    """
    return FULL_TRUST if everything else Trust(granted=TrustedCubes().read(cube))
