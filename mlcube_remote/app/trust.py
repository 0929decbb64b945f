# SPDX-License-Identifier: Apache-2.0
"""``trust``: show what a cube asks for beyond its own, and remember the user's yes."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from mlcube_remote import yamlsource
from mlcube_remote.app.inventory_sources import program_request
from mlcube_remote.app.options import CubeOptions
from mlcube_remote.cube.load import cube_directory, load
from mlcube_remote.errors import InventoryError, UsageError
from mlcube_remote.files.build_context import context_trees
from mlcube_remote.files.transfer import upload_size
from mlcube_remote.inventory.load import read
from mlcube_remote.inventory.locate import FILE_NAME, cube_around
from mlcube_remote.inventory.programs import is_program
from mlcube_remote.plan.build_context import BuildContext
from mlcube_remote.runs.trusted_cubes import TrustedCubes, read_trust
from mlcube_remote.trust.cube_requests import cube_requests
from mlcube_remote.trust.inventory_requests import inventory_requests
from mlcube_remote.trust.requests import CubeRequest


@attrs.frozen(kw_only=True)
class CubeReview:
    """What a cube asks for, and what of it the user allowed."""

    root: Path
    """The cube's directory."""
    requests: tuple[CubeRequest, ...]
    new: tuple[CubeRequest, ...]
    """The requests that are not allowed yet."""


def describe_upload(request: CubeRequest) -> str:
    """Return the name and size of the directory that a request sends; else an empty text.

    Raises:
        TransferError: A file in the directory cannot be read.
        UsageError: This machine has no rsync.
    """
    if request.sends is None or not request.sends.is_dir():
        return ""
    (tree,) = context_trees(BuildContext(local=request.sends, remote="nowhere"))
    return f"{request.sends}, which is sent to the host ({upload_size(tree)})"


def review(options: CubeOptions, inventory: str | None = None) -> CubeReview:
    """Return what a cube asks for; its inventory is part of it.

    Args:
        options: The cube.
        inventory: Another inventory inside the cube, which runs programs.

    Raises:
        CubeError: ``mlcube.yaml`` is missing or wrong.
        UsageError: The inventory is not inside the cube.
        InventoryError: The cube's ``hosts.yaml`` is wrong.
        RecordError: The record of the user's yes cannot be read.
    """
    cube = load(options.path, overrides=options.overrides, workspace=options.workspace)
    requests = cube_requests(cube)
    file = cube.root / FILE_NAME
    if inventory is not None:
        requests = (*requests, _inventory_request(Path(inventory), cube.root))
    if is_program(file):
        requests = (*requests, program_request(file))
    elif file.exists():
        document = yamlsource.load(file, error=InventoryError)
        read(document)
        requests = (*requests, *inventory_requests(document))
    requests = tuple(dict.fromkeys(requests))
    trust = read_trust(cube.root, everything=False)
    return CubeReview(root=cube.root, requests=requests, new=trust.missing(requests))


def _inventory_request(path: Path, cube: Path) -> CubeRequest:
    around = cube_around(path) if path.exists() else None
    if around is None or around != Path(os.path.realpath(cube)):
        raise UsageError(
            f"--inventory: {path} is not inside the cube {cube}",
            hint="an inventory of your own needs no trust",
        )
    return program_request(path)


def allow(reviewed: CubeReview) -> None:
    """Remember the user's yes to all requests of a cube, and to no others.

    Raises:
        RecordError: It cannot be recorded.
    """
    TrustedCubes().write(reviewed.root, [request.what for request in reviewed.requests])


def withdraw(options: CubeOptions) -> bool:
    """Forget the user's yes to a cube, and return whether there was one."""
    return TrustedCubes().forget(cube_directory(options.path))
