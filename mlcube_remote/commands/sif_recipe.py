# SPDX-License-Identifier: Apache-2.0
"""Check what the build of a SIF image would do outside the container.

A build reads files of the host and may run programs there. What the user named is not checked.
"""

from __future__ import annotations

import hashlib
import posixpath

from mlcube_remote.commands.model import CheckedRecipe, ImageCommands, ReadFile
from mlcube_remote.commands.settings import Settings
from mlcube_remote.commands.sif_source import recipe_path
from mlcube_remote.cube.host_paths import Layout, contains
from mlcube_remote.errors import PlanError
from mlcube_remote.trust.cube_requests import HINT
from mlcube_remote.trust.recipe_requests import MAX_BYTES, is_inside, read_recipe

_REMOTE = ("docker", "library", "oras", "shub", "http", "https")
"""Schemes of addresses that are no paths of the host."""
_FILES = ("docker-archive", "oci-archive", "localimage")
"""Schemes of addresses that are paths."""


def check_build(
    settings: Settings, image: ImageCommands, layout: Layout, read: ReadFile
) -> CheckedRecipe:
    """Refuse a build that reaches out of the container and of the cube's directory.

    Args:
        settings: The merged settings.
        image: The commands of the build.
        layout: Where things are on the host.
        read: Reads a file of the cube.

    Returns:
        What the host must check before the build.

    Raises:
        PlanError: The build needs trust; the message names position and line.
    """
    _check_target(settings, image, layout)
    is_own = "build_file" not in settings.sections and "build_file" in settings.values
    where = settings.where("build_file")
    recipe = recipe_path(settings, layout)
    if recipe is None:
        scheme, _, path = image.source.partition(":")
        if is_own or scheme in _REMOTE:
            return CheckedRecipe()
        if scheme not in _FILES or not is_inside(path):
            raise _refusal(where, f"build from {image.source}")
        return CheckedRecipe(copied=(path.partition(":")[0],))
    if not contains(layout.root, recipe):
        source = settings.text("build_file")
        if is_own and source.startswith(("/", "~")):
            return CheckedRecipe()
        if not source.startswith(("/", "~")) and layout.root != str(settings.cube.root):
            raise PlanError(  # trust would not help: it is not sent
                f"{where}: {source!r} is outside the cube's directory", hint="move it into the cube"
            )
        raise _refusal(where, f"build from {recipe}, outside its directory")
    content = read(recipe)
    if content is None or len(content) > MAX_BYTES or b"\0" in content:
        if is_own:
            return CheckedRecipe()
        raise _refusal(where, f"build from {image.source}, which cannot be read here as a recipe")
    return _check_recipe(settings, recipe, layout, content)


def _check_target(settings: Settings, image: ImageCommands, layout: Layout) -> None:
    """Refuse an image that the cube puts elsewhere: its content is the cube's."""
    if any(contains(place, image.image) for place in (layout.root, layout.workspace)):
        return
    for key in ("image", "image_dir"):
        if key in settings.sections and (key == "image_dir" or not is_inside(settings.text(key))):
            raise _refusal(settings.where(key), f"write {image.image}, outside its directory")


def _check_recipe(settings: Settings, recipe: str, layout: Layout, content: bytes) -> CheckedRecipe:
    # Bytes that are no text become characters that are no white space and no part of a plain name.
    found = read_recipe(content.decode("utf-8", "backslashreplace"))
    for request in found.requests:
        file = settings.cube.root / posixpath.relpath(recipe, layout.root)
        raise PlanError(f"{file}:{request.line}: '{request.text}' {request.reason}", hint=HINT)
    return CheckedRecipe(digest=hashlib.sha256(content).hexdigest(), copied=found.copied)


def _refusal(where: str, what: str) -> PlanError:
    return PlanError(f"{where}: a cube may not {what}", hint=HINT)
