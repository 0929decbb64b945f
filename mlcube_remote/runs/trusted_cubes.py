# SPDX-License-Identifier: Apache-2.0
"""The requests that the user allowed: one small document per cube.

::

    $XDG_STATE_HOME/mlcube-remote/trust/DIGEST.json

DIGEST is that of the cube's path. A document lists the requests that were shown to the user, so
that a request which the cube adds or changes later is not allowed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import attrs

from mlcube_remote.directories import state_home
from mlcube_remote.runs.documents import (
    FORMAT,
    damaged_record,
    read_document,
    write_document,
)
from mlcube_remote.trust.requests import FULL_TRUST, Trust


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
        document = read_document(path)
        if document is None:
            return frozenset()
        requests = document.get("requests")
        # There has never been a lower format.
        if document["format"] != FORMAT or not isinstance(requests, list):
            raise damaged_record(path, "no list of requests")
        return frozenset(map(str, requests))

    def write(self, cube: Path, requests: Iterable[str]) -> None:
        """Replace the requests of a cube that the user allowed.

        Raises:
            RecordError: The document cannot be written.
        """
        write_document(
            self._path(cube),
            {"cube": os.path.realpath(cube), "requests": sorted(requests)},
            failed="the trust in the cube cannot be recorded",
            root=self.root,
            indent=1,
        )

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
