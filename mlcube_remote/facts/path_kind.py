# SPDX-License-Identifier: Apache-2.0
"""What is at a path of a host."""

from __future__ import annotations

from mlcube_remote.transport.base import Connection


def read_kind(connection: Connection, path: str) -> str:
    """Return ``f`` for a file, ``d`` for a directory, ``-`` if nothing is there.

    Raises:
        HostError: The connection is lost.
    """
    return connection.call("mlcr_print_kind", path).text.strip()


def read_kinds(connection: Connection, *paths: str) -> list[str]:
    """Return the same for several paths, in one round trip.

    Raises:
        HostError: The connection is lost.
    """
    kinds = connection.call("mlcr_print_kind", *paths).text.split()
    return [*kinds, *["-"] * len(paths)][: len(paths)]
