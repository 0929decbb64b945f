# SPDX-License-Identifier: Apache-2.0
"""Images of sandbox hosts: built once, and again only if their recipe has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from mlcube_remote.sandbox import engine
from mlcube_remote.sandbox.flavours import Engine, Flavour

REPOSITORY = "mlcube-remote/sandbox"

_ENGINE_RECIPES = {
    Engine.OWN: ("nested", "hosts with their own Docker engine"),
    Engine.ROOTLESS: ("rootless", "hosts with rootless Docker"),
    Engine.PODMAN: ("podman", "hosts with Podman"),
    Engine.APPTAINER: ("apptainer", "hosts with Apptainer"),
}
"""Engines inside the image: the recipe, and a description of its hosts."""


def ensure_image(flavour: Flavour, note: Callable[[str], None]) -> str:
    """Return the name of the image for hosts of *flavour*; build it if it does not exist.

    The tag is a digest of the recipe, so an existing image is up to date.

    Args:
        flavour: The kind of host.
        note: Called with one line before a step that takes long.

    Raises:
        SandboxError: An image could not be pulled or built.
    """
    built = _images(flavour)
    image = list(built)[-1]
    if engine.is_present(image):
        return image
    if not engine.is_present(engine.BASE_IMAGE):
        note(f"pulling {engine.BASE_IMAGE} (once; under a minute)")
        engine.ensure_base_image()
    base = ""
    for name, (recipe, what) in built.items():
        if not engine.is_present(name):
            note(f"building the image of {what} (once; about a minute)")
            options = ("--build-arg", f"HOST_IMAGE={base}") if base else ()
            engine.docker("build", *options, "--tag", name, str(_recipe(recipe)))
        base = name
    return image


def _images(flavour: Flavour) -> dict[str, tuple[str, str]]:
    """Return name → recipe and description of its hosts, for each image and the one it extends."""
    recipes = [("host", "the SSH hosts")]
    if flavour.engine in _ENGINE_RECIPES:
        recipes.append(_ENGINE_RECIPES[flavour.engine])
    if flavour.is_cluster:
        recipes.append(("slurm", "a Slurm cluster"))
    if flavour.has_accounting:
        recipes.append(("slurm-accounting", "a Slurm cluster with accounting"))
    images: dict[str, tuple[str, str]] = {}
    base = engine.BASE_IMAGE
    for recipe, what in recipes:
        base = _tag(recipe, base)
        images[base] = (recipe, what)
    return images


def _recipe(name: str) -> Path:
    return Path(str(resources.files("mlcube_remote.sandbox"))) / "images" / name


def _tag(name: str, base: str) -> str:
    digest = hashlib.sha256(base.encode())
    for part in sorted(_recipe(name).iterdir()):
        digest.update(part.name.encode() + b"\0" + part.read_bytes() + b"\0")
    return f"{REPOSITORY}-{name}:{digest.hexdigest()[:12]}"
