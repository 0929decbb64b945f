# SPDX-License-Identifier: Apache-2.0
"""Check what the build of a SIF image asks for outside the container: files, host programs.

What the user named is not checked.
"""

from __future__ import annotations

import hashlib
import posixpath

from mlcube_remote.commands.model import CheckedRecipe, ImageCommands, ReadFile
from mlcube_remote.commands.settings import Settings
from mlcube_remote.commands.sif_source import recipe_path
from mlcube_remote.cube.host_paths import Layout, contains
from mlcube_remote.trust.recipe_requests import MAX_BYTES, read_recipe, recipe_requests
from mlcube_remote.trust.requests import CubeRequest, Trust, check


def check_recipe(
    settings: Settings, image: ImageCommands, layout: Layout, read: ReadFile, trust: Trust
) -> CheckedRecipe | None:
    """Refuse a build that asks for more than the user has allowed.

    Args:
        settings: The merged settings.
        image: The commands of the build.
        layout: Where things are on the host.
        read: Reads a file of the cube.
        trust: What the user has allowed.

    Returns:
        What the host must check before the build; ``None``: nothing is built.

    Raises:
        PlanError: The recipe asks for something that is not allowed; the message names the line.
    """
    if not image.configure:
        return None
    is_own = "build_file" not in settings.sections and "build_file" in settings.values
    recipe = recipe_path(settings, layout)
    if recipe is None:
        kind, _, path = image.source.partition(":")
        is_archive = kind.endswith("-archive") and not is_own
        return CheckedRecipe(copied=(path.partition(":")[0],) if is_archive else ())
    if not contains(layout.root, recipe):
        return CheckedRecipe()  # the path itself is a request
    name, root = posixpath.relpath(recipe, layout.root), settings.cube.root
    content = read(recipe)
    if content is None or len(content) > MAX_BYTES or b"\0" in content:
        what = f"an image build from {name}, which cannot be read here as a recipe"
        request = CubeRequest(where=settings.where("build_file"), what=what)
        check(() if is_own else (request,), trust, cube=root)
        return CheckedRecipe()
    found = read_recipe(content)
    check(recipe_requests(root, name, content, found), trust, cube=root)
    return CheckedRecipe(digest=hashlib.sha256(content).hexdigest(), copied=found.copied)
