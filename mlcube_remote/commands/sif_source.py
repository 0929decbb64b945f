# SPDX-License-Identifier: Apache-2.0
"""What a SIF image is built from, with MLCube's rules, if the cube does not say it fully.

The first of these that exists decides:

1. the image that the cube's section names: it is used as it is
2. the section's recipe (``build_file``), or an address. If the section names no image, the image is
   named after the recipe
3. the image of the ``docker:`` section. The image is named after it
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from mlcube_remote.commands.settings import Settings
from mlcube_remote.cube.host_paths import KindOf, Layout, PathKind, expand_runtime, host_path
from mlcube_remote.cube.model import NOTHING

is_address = re.compile(r"[a-z][a-z-]*:").match
"""Whether a source is an address such as ``docker://IMAGE``, and not the path of a recipe."""

_CONTAINER_KEYS = ("env_args", "gpu_args", "cpu_args")
"""Settings of ``docker:`` that apply to a container, besides those that start with ``--``."""

Merge = Callable[[Mapping[str, Any]], Settings]
"""Returns the settings of all sources if these are the user's own for all hosts."""


def image_path(settings: Settings, layout: Layout) -> str:
    """Return the absolute path of the SIF file; ``layout`` is the cube's, not a trial's."""
    image_dir = host_path(settings.text("image_dir"), layout, base=layout.root)
    return host_path(settings.text("image"), layout, base=image_dir)


def recipe_path(settings: Settings, layout: Layout) -> str | None:
    """Return the absolute path of the recipe; ``None`` if the source is an address."""
    source = expand_runtime(settings.text("build_file"), layout)
    return None if is_address(source) else host_path(source, layout, base=layout.root)


def with_source(merge: Merge, user: Mapping[str, Any], layout: Layout, kind_of: KindOf) -> Settings:
    """Return the merged settings, with the image and the source that the rules above give.

    Args:
        merge: Merges the settings.
        user: The user's own settings of the platform, for all hosts. Their image, and their source
            if it is an address, are used only if the cube has none at all.
        layout: Where things are on the host.
        kind_of: Returns what exists there.
    """
    settings = merge({key: value for key, value in user.items() if key != "image"})
    docker = settings.cube.settings.get("docker", NOTHING)
    has_image = bool(settings.values.get("image"))
    recipe = recipe_path(settings, layout)
    paths = [recipe] if recipe else []
    if has_image:
        paths.append(image_path(settings, layout))
    if docker.get("image"):
        settings = attrs.evolve(settings, decided_by=tuple(paths))
    if has_image and kind_of(paths[-1]) is PathKind.FILE:
        return settings
    if recipe is None:
        has_recipe = not (docker.get("image") and _is_from(user, settings, "build_file"))
    else:
        has_recipe = kind_of(recipe) is PathKind.FILE
    if not has_recipe and docker.get("image"):
        return _from_docker(settings, docker, merge, user)
    if has_image or user.get("image"):
        return settings if has_image else merge(user)
    if not has_recipe and not settings.values.get("build_file"):
        return settings
    # A recipe that somebody named may be on the host only.
    name = sif_name(settings.text("build_file"))
    return attrs.evolve(settings, values={**settings.values, "image": name})


def sif_name(source: str) -> str:
    """Return the name of the image that is built from an unnamed source."""
    return "".join(character for character in source if character.isalnum()) + ".sif"


def _is_from(user: Mapping[str, Any], settings: Settings, key: str) -> bool:
    """Return whether a value is the one of the user's settings for all hosts."""
    value = settings.values.get(key)
    return value is not None and key not in settings.sections and value == user.get(key)


def _from_docker(
    settings: Settings, docker: Mapping[str, Any], merge: Merge, user: Mapping[str, Any]
) -> Settings:
    """Return the settings for the image of the ``docker:`` section."""
    source = f"docker://{docker['image']}"
    if docker.get("tar_file"):
        source = f"docker-archive:{docker['tar_file']}"
    borrowed = {"build_file": source, "image": sif_name(docker["image"])}
    if docker.get("run_args"):
        borrowed["run_args"] = docker["run_args"]
    # What is borrowed is from the cube, which overrides the user's settings for all cubes.
    named = {key for key in ("image", "build_file") if settings.values.get(key)}
    merged = merge({key: value for key, value in user.items() if key not in borrowed})
    kept = dict(merged.values)
    kept.pop("build_file", None)
    if "image" in merged.sections:
        del kept["image"]
    sections = {key: section for key, section in merged.sections.items() if key in kept}
    return attrs.evolve(
        merged,
        values={**borrowed, **kept},
        sections={**sections, **dict.fromkeys({"tar_file", *borrowed} - kept.keys(), "docker")},
        warnings=(*merged.warnings, *_warnings(settings, docker, named, source)),
        decided_by=settings.decided_by,
    )


def _warnings(
    settings: Settings, docker: Mapping[str, Any], named: set[str], source: str
) -> tuple[str, ...]:
    """Return what the user should know about an image of the ``docker:`` section."""
    warnings = [
        f"{settings.where(key)}: {settings.text(key)} does not exist, so the image is built from "
        f"{source}"
        for key in sorted(named & settings.sections.keys())
    ][:1]
    ignored = [key for key in docker if key.startswith("-") or key in _CONTAINER_KEYS]
    if ignored:
        keys = ", ".join(f"docker.{key}" for key in ignored)
        warnings.append(f"{keys}: ignored on {settings.platform}; use docker.run_args instead")
    return tuple(warnings)
