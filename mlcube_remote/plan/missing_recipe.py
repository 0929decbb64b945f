# SPDX-License-Identifier: Apache-2.0
"""Warn if an image is pulled because a setting names a recipe that does not exist.

Published cubes often come without their recipe, and then the image is pulled. A misspelled name
looks the same. So there is a warning only if the directory exists that should contain the recipe,
or if a name there is similar.
"""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from mlcube_remote.commands.model import ImageCommands
from mlcube_remote.commands.settings import Settings
from mlcube_remote.cube.host_paths import context_here, expand_runtime, layout_here
from mlcube_remote.cube.model import Cube
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.suggestions import ALMOST_EQUAL, did_you_mean


def warn_about_missing_recipe(
    cube: Cube, settings: Settings, image: ImageCommands
) -> ImageCommands:
    """Add the warning of :func:`missing_recipe` to an image."""
    text = missing_recipe(cube, settings, image)
    return attrs.evolve(image, warnings=(*image.warnings, text)) if text else image


def missing_recipe(cube: Cube, settings: Settings, image: ImageCommands) -> str:
    """Return a warning if the image is not built because a setting may be misspelled, or ""."""
    # Without a source, the image is always pulled; with a context, it is built.
    if settings.platform not in CONTAINER_ENGINES or not image.source or image.context:
        return ""
    context = context_here(cube, settings.text("build_context"))
    key, parent, name = "build_file", image.source, ""
    if context is not None and not context.is_dir():
        key, parent, name = "build_context", str(context.parent), context.name
    elif context is not None:
        path = context / expand_runtime(settings.text("build_file"), layout_here(cube))
        parent, name = str(path.parent), path.name
    near = did_you_mean(name, _names(parent), ALMOST_EQUAL) if name else ""
    if settings.values.get(key) is None:
        # The author named the directory of the recipe, and not the file.
        if key == "build_context" or settings.values.get("build_context") is None:
            return ""
        shown = os.path.normpath(f"{settings.text('build_context')}/{name}")
        return _warning(settings, "build_context", shown, near)
    if key == "build_context" and not near:
        return ""
    return _warning(settings, key, settings.text(key), near)


def _warning(settings: Settings, key: str, missing: str, near: str) -> str:
    return f"{settings.where(key)}: {missing} does not exist{near}: the image is pulled, not built"


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(Path(directory)))
    except OSError:
        return []
